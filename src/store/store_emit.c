/*
 * store_emit.c
 *		Rows -> JSON text of a resource, straight from the columns.
 *
 * No JSON tree and no JSON function takes part (measured: 1.3 to 2 times
 * faster).  Unassigned attributes are left out (RFC 7643 2.5).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "store_internal.h"
#include "../core/core_value.h"

/* Microseconds between the epochs of Unix and of PostgreSQL. */
#define EPOCH_OFFSET ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Years 1 to 9999. */
#define FIRST_TIME ((INT64CONST(1721426) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)
#define LAST_TIME ((INT64CONST(5373485) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

typedef struct Emitter
{
	const ScimEndpointType *target;
	const ScimMapping *mapping;
	const ScimStoreState *state;
	const ScimSelection *selection;
	const ScimParentRow *row;
	const char *base_url;
	const ScimEndpointType *ref_to; /* resource type of the last reference */
	StringInfoData ref_start;	/* JSON text of its URL, up to the id */
	StringInfo	out;
} Emitter;

/*
 * A JSON string.  What needs no escape, nearly all, goes in one piece: the
 * server's function (until 18) takes it a character at a time.
 */
static void
emit_string(StringInfo out, const char *text)
{
	size_t		n = 0;

	while ((unsigned char) text[n] >= ' ' && text[n] != '"' && text[n] != '\\')
		n++;
	if (text[n] != '\0')
	{
		escape_json(out, text);
		return;
	}
	appendStringInfoChar(out, '"');
	appendBinaryStringInfo(out, text, (int) n);
	appendStringInfoChar(out, '"');
}

static void
emit_name(StringInfo out, const char *name)
{
	char		last = out->len > 0 ? out->data[out->len - 1] : '{';
	size_t		len = strlen(name);
	char	   *p;

	/* schema names and URNs need no escape */
	enlargeStringInfo(out, (int) len + 4);
	p = out->data + out->len;
	if (last != '{' && last != '[')
		*p++ = ',';
	*p++ = '"';
	memcpy(p, name, len);
	p += len;
	*p++ = '"';
	*p++ = ':';
	*p = '\0';
	out->len = (int) (p - out->data);
}

static bool
is_number_text(const char *s)
{
	return *s != '\0' && strspn(s, "+-0123456789.eE") == strlen(s) &&
		(*s == '-' || (*s >= '0' && *s <= '9'));
}

/*
 * A decimal.  One without a fraction that is no 64-bit integer has an exponent:
 * to many readers, this one among them, it would be an integer out of range.
 */
static void
emit_decimal(StringInfo out, const char *text)
{
	size_t		len = strlen(text);
	size_t		digits = len;

	errno = 0;
	(void) strtoll(text, NULL, 10);
	if (errno != ERANGE || strspn(text, "-0123456789") != len)
	{
		appendStringInfoString(out, text);
		return;
	}
	while (digits > 1 && text[digits - 1] == '0')
		digits--;
	appendBinaryStringInfo(out, text, (int) digits);
	appendStringInfo(out, "e%d", (int) (len - digits));
}

/* A sub-attribute with several values: the text is an array of them. */
static void
emit_several(StringInfo out, const ScimAttr *attr, const char *text)
{
	if (attr->type != SCIM_TYPE_DECIMAL)
	{
		appendStringInfoString(out, text);
		return;
	}
	while (*text)
	{
		size_t		mark = strspn(text, "[], ");
		size_t		number = strcspn(text + mark, "[], ");

		appendBinaryStringInfo(out, text, (int) mark);
		if (number > 0)
			emit_decimal(out, pnstrdup(text + mark, number));
		text += mark + number;
	}
}

/*
 * The text of a value by the type of its attribute.  False: it can't be one
 * (a mapped column that holds something else); then nothing is appended.
 */
static bool
emit_text_value(StringInfo out, const ScimAttr *attr, const char *text)
{
	if (attr->parent && attr->multi)
	{
		emit_several(out, attr, text);
		return true;
	}
	switch (attr->type)
	{
		case SCIM_TYPE_BOOLEAN:
			if (strcmp(text, "true") == 0 || strcmp(text, "t") == 0)
				appendStringInfoString(out, "true");
			else if (strcmp(text, "false") == 0 || strcmp(text, "f") == 0)
				appendStringInfoString(out, "false");
			else
				return false;
			return true;
		case SCIM_TYPE_INTEGER:
		case SCIM_TYPE_DECIMAL:
			if (!is_number_text(text))
				return false;
			if (attr->type == SCIM_TYPE_DECIMAL)
				emit_decimal(out, text);
			else
				appendStringInfoString(out, text);
			return true;
		default:
			emit_string(out, text);
			return true;
	}
}

/* RFC 3339 knows four digits for the year, and no infinity; NULL: not that. */
static char *
time_text(Timestamp t)
{
	char	   *buf;

	if (t < FIRST_TIME || t >= LAST_TIME)
		return NULL;
	buf = palloc(SCIM_DATETIME_SIZE);
	scim_datetime_print(t + EPOCH_OFFSET, buf);
	return buf;
}

char *
scim_store_datum_text(const ScimSource *src, Datum value)
{
	Oid			output;
	bool		varlena;
	char	   *buf;

	switch (src->cls)
	{
		case SCIM_SQL_BOOLEAN:
			return DatumGetBool(value) ? "true" : "false";
		case SCIM_SQL_TIMESTAMPTZ:
			return time_text(DatumGetTimestampTz(value));
		case SCIM_SQL_UUID:
			return DatumGetCString(DirectFunctionCall1(uuid_out, value));
		default:
			if (src->typid == TEXTOID || src->typid == VARCHAROID)
				return TextDatumGetCString(value);
			getTypeOutputInfo(src->typid, &output, &varlena);
			buf = OidOutputFunctionCall(output, value);
			/* what a cast to text, which filters compare, leaves out as well */
			for (size_t len = strlen(buf); src->pads && len > 0 && buf[len - 1] == ' '; len--)
				buf[len - 1] = '\0';
			return buf;
	}
}

/* Text of a scalar of this row; NULL: unassigned. */
static char *
scalar_text(const Emitter *e, int i)
{
	int			column = e->state->col_scalars + i;

	if (i < 0 || e->row->nulls[column])
		return NULL;
	return scim_store_datum_text(&e->mapping->scalars[i].src, e->row->values[column]);
}

static void
append_url_segment(StringInfo out, const char *s)
{
	size_t		plain = strspn(s, "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ._~");

	appendBinaryStringInfo(out, s, (int) plain);
	for (s += plain; *s; s++)
	{
		unsigned char c = (unsigned char) *s;

		if (isalnum(c) || strchr("-._~", c) != NULL)
			appendStringInfoChar(out, c);
		else
			appendStringInfo(out, "%%%02X", c);
	}
}

char *
scim_store_location(const ScimEndpointType *target, const char *base_url, const char *id)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfo(&url, "%s%s/", base_url, target->type->endpoint);
	append_url_segment(&url, id);
	return url.data;
}

char *
scim_store_version_of(const char *text)
{
	return psprintf("W/\"%s\"", text);
}

char *
scim_store_version(const ScimMapping *mapping, Datum *values, bool *nulls)
{
	int			column = scim_store_state(mapping)->col_version;

	return scim_store_version_of(nulls[column] ? "" : TextDatumGetCString(values[column]));
}

/*
 * "$ref" of a reference: where the resource it names is.  An attribute's
 * referenceTypes tell which resource type a `value` belongs to.
 */
static void
emit_reference(Emitter *e, const ScimAttr *ref, const char *type_name, const char *id)
{
	const ScimEndpointType *to = NULL;

	if (type_name == NULL && ref->nref_types == 1)
		type_name = ref->ref_types[0];
	if (type_name)
		to = scim_endpoint_type(e->target->endpoint, type_name);
	if (to == NULL)
		return;
	/* a million members refer to the same type */
	if (to != e->ref_to)
	{
		initStringInfo(&e->ref_start);
		escape_json(&e->ref_start, psprintf("%s%s/", e->base_url, to->type->endpoint));
		e->ref_start.len--;
		e->ref_to = to;
	}
	emit_name(e->out, ref->name);
	appendBinaryStringInfo(e->out, e->ref_start.data, e->ref_start.len);
	/* what stands in a URL as it is does so in JSON */
	append_url_segment(e->out, id);
	appendStringInfoChar(e->out, '"');
}

static bool
wanted(const Emitter *e, const ScimAttr *attr)
{
	return e->selection->has[attr->ord];
}

/* A singular complex attribute: its sub-attributes that have a value. */
static void
emit_complex(Emitter *e, const ScimAttr *attr)
{
	int			start = e->out->len;
	bool		any = false;
	char	   *value = NULL;

	emit_name(e->out, attr->name);
	appendStringInfoChar(e->out, '{');
	for (int i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];
		int			scalar = e->state->scalar_of[sub->ord];
		char	   *text = scalar_text(e, scalar);

		if (strcmp(sub->name, "value") == 0)
			value = text;
		if (text == NULL || !wanted(e, sub))
			continue;
		emit_name(e->out, sub->name);
		if (emit_text_value(e->out, sub, text))
			any = true;
		else
			appendStringInfoString(e->out, "null");
	}
	for (int i = 0; value && i < attr->nsubs; i++)
		if (strcmp(attr->subs[i]->name, "$ref") == 0 && e->state->scalar_of[attr->subs[i]->ord] < 0 &&
			wanted(e, attr->subs[i]))
		{
			emit_reference(e, attr->subs[i], NULL, value);
			any = true;
		}
	if (any)
		appendStringInfoChar(e->out, '}');
	else
	{
		e->out->len = start;
		e->out->data[start] = '\0';
	}
}

static void
emit_sub(const Emitter *e, const ScimAttr *sub, const char *text)
{
	if (sub == NULL || text == NULL || !wanted(e, sub))
		return;
	emit_name(e->out, sub->name);
	if (!emit_text_value(e->out, sub, text))
		appendStringInfoString(e->out, "null");
}

static const ScimAttr *
sub_named(const ScimAttr *attr, const char *name)
{
	return scim_attr_sub(attr, name, strlen(name));
}

/* A time that SQL has printed, in the form of all others; NULL: it is none. */
static const char *
printed_time(const char *text)
{
	int64_t		usec;
	char	   *buf;

	if (text == NULL || !scim_datetime_parse(text, strlen(text), &usec))
		return NULL;
	buf = palloc(SCIM_DATETIME_SIZE);
	scim_datetime_print(usec, buf);
	return buf;
}

/* One row of a child relation as a value. */
static void
emit_child_value(Emitter *e, const ScimChild *child, char **values)
{
	const ScimAttr *attr = child->attr;
	const ScimAttr *ref = sub_named(attr, "$ref");

	if (attr->type != SCIM_TYPE_COMPLEX)
	{
		if (values[0] && !emit_text_value(e->out, attr, values[0]))
			appendStringInfoString(e->out, "null");
		return;
	}
	appendStringInfoChar(e->out, '{');
	switch (child->kind)
	{
		case SCIM_CHILD_VALUES:
		case SCIM_CHILD_INLINE:
			for (int i = 0; i < child->nsubs; i++)
				emit_sub(e, child->subs[i], child->srcs[i].cls == SCIM_SQL_TIMESTAMPTZ ? printed_time(values[i]) : values[i]);
			break;
		case SCIM_CHILD_LINK:
			emit_sub(e, sub_named(attr, "value"), values[0]);
			if (ref && wanted(e, ref))
				emit_reference(e, ref, child->ref_type, values[0]);
			emit_sub(e, sub_named(attr, "type"), child->ref_type);
			break;
		case SCIM_CHILD_PENDING:
			emit_sub(e, sub_named(attr, "value"), values[0]);
			break;
		case SCIM_CHILD_GROUPS:
			emit_sub(e, sub_named(attr, "value"), values[0]);
			if (ref && wanted(e, ref))
				emit_reference(e, ref, "Group", values[0]);
			emit_sub(e, sub_named(attr, "display"), values[1]);
			emit_sub(e, sub_named(attr, "type"), values[2]);
			break;
	}
	appendStringInfoChar(e->out, '}');
}

/* Does this column of a slot say that there is a value? */
static bool
column_counts(const Emitter *e, const ScimSlot *slot, int column)
{
	return !e->row->nulls[column] && (!slot->flag || DatumGetBool(e->row->values[column]));
}

/* A multi-valued attribute: values from slots, then from child rows. */
static void
emit_multi(Emitter *e, const ScimAttr *attr)
{
	int			start = e->out->len;
	bool		any = false;
	int			column = e->state->col_slots;

	emit_name(e->out, attr->name);
	appendStringInfoChar(e->out, '[');
	for (int i = 0; i < e->mapping->nslots; i++)
	{
		const ScimSlot *slot = &e->mapping->slots[i];
		int			first = column;
		bool		exists = false;

		for (int j = 0; j < slot->nsubs; j++)
			if (slot->srcs[j].expr)
				exists = column_counts(e, slot, column++) || exists;
		if (slot->attr != attr || !exists)
			continue;
		if (any)
			appendStringInfoChar(e->out, ',');
		if (attr->type == SCIM_TYPE_COMPLEX)
			appendStringInfoChar(e->out, '{');
		for (int j = 0; j < slot->nsubs; j++)
		{
			const char *text = slot->srcs[j].constant;

			if (slot->srcs[j].expr)
			{
				text = e->row->nulls[first] ? NULL : scim_store_datum_text(&slot->srcs[j], e->row->values[first]);
				first++;
			}
			if (slot->subs[j])
				emit_sub(e, slot->subs[j], text);
			else if (!slot->flag && text && !emit_text_value(e->out, attr, text))
				appendStringInfoString(e->out, "null");
		}
		if (attr->type == SCIM_TYPE_COMPLEX)
			appendStringInfoChar(e->out, '}');
		any = true;
	}
	for (ScimChildRow *row = e->row->first; row; row = row->next)
	{
		if (row->child->attr != attr)
			continue;
		/* a simple value that is null is none */
		if (attr->type != SCIM_TYPE_COMPLEX && row->values[0] == NULL)
			continue;
		if (any)
			appendStringInfoChar(e->out, ',');
		emit_child_value(e, row->child, row->values);
		any = true;
	}
	if (any)
		appendStringInfoChar(e->out, ']');
	else
	{
		e->out->len = start;
		e->out->data[start] = '\0';
	}
}

static void
emit_meta(Emitter *e)
{
	const ScimAttr *meta = e->target->type->a_meta;
	const struct
	{
		const char *name;
		int			column;
	}			times[] = {
		{"created", e->state->col_created}, {"lastModified", e->state->col_modified}
	};
	const ScimAttr *sub;
	int			start = e->out->len;

	emit_name(e->out, "meta");
	appendStringInfoChar(e->out, '{');
	sub = sub_named(meta, "resourceType");
	if (sub && wanted(e, sub))
		emit_sub(e, sub, e->target->type->name);
	for (int i = 0; i < lengthof(times); i++)
	{
		sub = sub_named(meta, times[i].name);
		if (sub == NULL || times[i].column < 0 || e->row->nulls[times[i].column] || !wanted(e, sub))
			continue;
		emit_sub(e, sub, time_text(DatumGetTimestampTz(e->row->values[times[i].column])));
	}
	sub = sub_named(meta, "location");
	if (sub && wanted(e, sub))
		emit_sub(e, sub, scim_store_location(e->target, e->base_url, e->row->id));
	sub = sub_named(meta, "version");
	if (sub && wanted(e, sub))
		emit_sub(e, sub, scim_store_version(e->mapping, e->row->values, e->row->nulls));
	if (e->out->data[e->out->len - 1] == '{')
	{
		e->out->len = start;
		e->out->data[start] = '\0';
	}
	else
		appendStringInfoChar(e->out, '}');
}

/* Does the row hold anything of extension "ext"? */
static bool
extension_present(const Emitter *e, int ext)
{
	int			column = e->state->col_slots;

	for (int i = 0; i < e->mapping->nscalars; i++)
	{
		const ScimAttr *attr = e->mapping->scalars[i].attr;

		if ((attr->parent ? attr->parent : attr)->ext == ext && !e->row->nulls[e->state->col_scalars + i])
			return true;
	}
	for (int i = 0; i < e->mapping->nslots; i++)
		for (int j = 0; j < e->mapping->slots[i].nsubs; j++)
			if (e->mapping->slots[i].srcs[j].expr && column_counts(e, &e->mapping->slots[i], column++) && e->mapping->slots[i].attr->ext == ext)
				return true;
	for (ScimChildRow *row = e->row->first; row; row = row->next)
		if (row->child->attr->ext == ext)
			return true;
	return false;
}

static void
emit_schemas(Emitter *e)
{
	const ScimResourceType *type = e->target->type;

	emit_name(e->out, "schemas");
	appendStringInfo(e->out, "[\"%s\"", type->schema->uri);
	for (int i = 0; i < type->nexts; i++)
		if (extension_present(e, i))
			appendStringInfo(e->out, ",\"%s\"", type->exts[i].schema->uri);
	appendStringInfoChar(e->out, ']');
}

static void
emit_attribute(Emitter *e, const ScimAttr *attr)
{
	char	   *text;

	if (attr->multi)
		emit_multi(e, attr);
	else if (attr->type == SCIM_TYPE_COMPLEX)
		emit_complex(e, attr);
	else if ((text = scalar_text(e, e->state->scalar_of[attr->ord])) != NULL)
	{
		int			start = e->out->len;

		emit_name(e->out, attr->name);
		if (!emit_text_value(e->out, attr, text))
		{
			e->out->len = start;
			e->out->data[start] = '\0';
		}
	}
}

void
scim_store_emit(const ScimEndpointType *target, const ScimSelection *selection,
				const ScimParentRow *row, const char *base_url, StringInfo out)
{
	const ScimResourceType *type = target->type;
	Emitter		e;
	int			open_ext = SCIM_EXT_CORE;
	int			ext_start = 0;
	int			ext_body = 0;

	e.target = target;
	e.mapping = target->mapping;
	e.state = scim_store_state(target->mapping);
	e.selection = selection;
	e.row = row;
	e.base_url = base_url;
	e.ref_to = NULL;
	e.out = out;

	appendStringInfoChar(out, '{');
	emit_schemas(&e);
	emit_name(out, "id");
	emit_string(out, row->id);

	for (int i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];

		if (attr->ext != open_ext)
		{
			/* an extension's object is there only if something is in it */
			if (open_ext >= 0 && out->len == ext_body)
			{
				out->len = ext_start;
				out->data[ext_start] = '\0';
			}
			else if (open_ext >= 0)
				appendStringInfoChar(out, '}');
			open_ext = attr->ext;
			ext_start = out->len;
			emit_name(out, type->exts[open_ext].schema->uri);
			appendStringInfoChar(out, '{');
			ext_body = out->len;
		}
		if (attr == type->a_schemas || attr == type->a_id || attr == type->a_meta || !wanted(&e, attr))
			continue;
		emit_attribute(&e, attr);
	}
	if (open_ext >= 0 && out->len == ext_body)
	{
		out->len = ext_start;
		out->data[ext_start] = '\0';
	}
	else if (open_ext >= 0)
		appendStringInfoChar(out, '}');

	if (wanted(&e, type->a_meta))
		emit_meta(&e);
	appendStringInfoChar(out, '}');
}
