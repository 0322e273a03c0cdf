/*
 * provisioner_diff.c
 *		From two states of a resource to the smallest PATCH between them
 *		(provisioning-engine 2.7).
 */
#include "postgres.h"

#include "utils/json.h"

#include "provisioner_diff.h"
#include "../core/core_multi.h"
#include "../core/core_value.h"

typedef struct DiffContext
{
	const ScimResourceType *type;
	const ScimDiffStyle *style;
	StringInfo	out;
	int			count;
	List	  **changed;		/* attributes that operations are about; NULL: nobody asks */
	StringInfoData values;		/* pathless: members of the one operation's value */
	int			open_ext;		/* whose object is open in there */
} DiffContext;

static const json_t *
member(const json_t *object, const char *name)
{
	const json_t *value = json_is_object(object) ? scim_json_get(object, name, NULL) : NULL;

	return value == NULL || scim_json_unassigned(value) ? NULL : value;
}

const json_t *
scim_document_value(const ScimResourceType *type, const json_t *document, const ScimAttr *attr)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const json_t *value = member(scim_resource_part(type, document, top->ext), top->name);

	return attr->parent ? member(value, attr->name) : value;
}

/* ---- one operation ---- */

/* An operation is about this attribute; of a list it is about the list. */
static void
note_change(DiffContext *ctx, const ScimAttr *attr)
{
	if (ctx->changed)
		*ctx->changed = list_append_unique_ptr(*ctx->changed,
											   unconstify(ScimAttr *, attr->parent && attr->parent->multi ? attr->parent : attr));
}

static void
begin_operation(DiffContext *ctx, const char *op, const ScimAttr *attr, const char *value_filter)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	StringInfoData path;

	note_change(ctx, attr);
	initStringInfo(&path);
	if (top->ext != SCIM_EXT_CORE)
		appendStringInfo(&path, "%s:", ctx->type->exts[top->ext].schema->uri);
	appendStringInfoString(&path, top->name);
	if (value_filter)
		appendStringInfo(&path, "[%s]", value_filter);
	if (attr->parent)
		appendStringInfo(&path, ".%s", attr->name);

	if (ctx->count++ > 0)
		appendStringInfoChar(ctx->out, ',');
	appendStringInfo(ctx->out, "{\"op\":\"%s\",\"path\":", op);
	escape_json(ctx->out, path.data);
}

static void
end_operation(DiffContext *ctx, const json_t *value)
{
	if (value)
	{
		size_t		len;
		char	   *text = scim_json_print(value, &len);

		if (text == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		appendStringInfoString(ctx->out, ",\"value\":");
		appendBinaryStringInfo(ctx->out, text, (int) len);
	}
	appendStringInfoChar(ctx->out, '}');
}

/* Without a path: a member of the one operation's value, in the object of its schema. */
static void
add_member(DiffContext *ctx, const ScimAttr *attr, const json_t *value)
{
	size_t		len;
	char	   *text = scim_json_print(value, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	note_change(ctx, attr);
	if (attr->ext != ctx->open_ext)
	{
		if (ctx->open_ext != SCIM_EXT_CORE)
			appendStringInfoChar(&ctx->values, '}');
		appendStringInfo(&ctx->values, "%s\"%s\":{", ctx->values.len > 0 ? "," : "", ctx->type->exts[attr->ext].schema->uri);
		ctx->open_ext = attr->ext;
	}
	else if (ctx->values.len > 0)
		appendStringInfoChar(&ctx->values, ',');
	escape_json(&ctx->values, attr->name);
	appendStringInfo(&ctx->values, ":%s", text);
}

static void
set_value(DiffContext *ctx, const ScimAttr *attr, const char *value_filter, const json_t *value)
{
	if (ctx->style->pathless && value && value_filter == NULL && attr->parent == NULL)
	{
		add_member(ctx, attr, value);
		return;
	}
	begin_operation(ctx, value ? "replace" : "remove", attr, value_filter);
	end_operation(ctx, value);
}

/* ---- multi-valued attributes ---- */

/* The only value of a type in a list; NULL: there is none, or it is not the only one. */
static const json_t *
only_of_type(const json_t *list, const char *type)
{
	const json_t *found = NULL;

	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *item = json_array_get(list, i);
		const json_t *value = member(item, "type");

		if (!json_is_string(value) || pg_strcasecmp(json_string_value(value), type) != 0)
			continue;
		if (found)
			return NULL;
		found = item;
	}
	return found;
}

/* Has each list the same types, each once? */
static bool
same_types(const json_t *from, const json_t *to)
{
	if (json_array_size(from) != json_array_size(to))
		return false;
	for (size_t i = 0; i < json_array_size(to); i++)
	{
		const json_t *type = member(json_array_get(to, i), "type");

		if (!json_is_string(type) || only_of_type(from, json_string_value(type)) == NULL ||
			only_of_type(to, json_string_value(type)) == NULL)
			return false;
	}
	return true;
}

static char *
type_filter(const char *type)
{
	StringInfoData filter;

	initStringInfo(&filter);
	appendStringInfoString(&filter, "type eq ");
	escape_json(&filter, type);
	return filter.data;
}

/* What differs between two values of one type. */
static void
diff_value(DiffContext *ctx, const ScimAttr *attr, const char *type, const json_t *old, const json_t *new)
{
	for (int i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];

		if (strcmp(sub->name, "type") != 0 && ctx->style->managed[sub->ord] &&
			!scim_value_same(sub, member(old, sub->name), member(new, sub->name)))
			set_value(ctx, sub, type_filter(type), member(new, sub->name));
	}
}

/* Does the list have a value of the type at all? */
static bool
has_type(const json_t *list, const char *type)
{
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *value = member(json_array_get(list, i), "type");

		if (json_is_string(value) && pg_strcasecmp(json_string_value(value), type) == 0)
			return true;
	}
	return false;
}

static void
add_value(DiffContext *ctx, const ScimAttr *attr, const json_t *value)
{
	size_t		len;
	char	   *text = scim_json_print(value, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	begin_operation(ctx, "add", attr, NULL);
	appendStringInfo(ctx->out, ",\"value\":[%s]}", text);
}

/* Is the value, or one that is identical, in the set? */
static bool
set_contains(const ScimMultiSet *set, const json_t *item)
{
	ScimError	err;
	uint64_t	hash;
	int			i;

	memset(&err, 0, sizeof(err));
	i = scim_multi_find(set, item, &hash, &err);
	if (i < -1)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return i >= 0;
}

/* All values of a list; of references by their ids. */
static void
set_of(ScimMultiSet *set, const ScimAttr *attr, const json_t *list)
{
	ScimError	err;

	memset(&err, 0, sizeof(err));
	scim_multi_init(set, attr, scim_multi_is_reference(attr));
	if (!scim_multi_add_all(set, list, &err))
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static bool
contains(const ScimAttr *attr, const json_t *list, const json_t *item)
{
	ScimMultiSet set;

	set_of(&set, attr, list);
	return set_contains(&set, item);
}

/* Values are added to a list, and none is taken away. */
static void
add_missing(DiffContext *ctx, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	ScimMultiSet set;
	json_t	   *missing = json_array();

	set_of(&set, attr, from);
	if (missing == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	for (size_t i = 0; i < json_array_size(to); i++)
		if (!set_contains(&set, json_array_get(to, i)) && json_array_append(missing, json_array_get(to, i)) != 0)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (json_array_size(missing) == 0)
		return;
	begin_operation(ctx, "add", attr, NULL);
	end_operation(ctx, missing);
}

/* Only values of some types are ours: the others of the list stay what they are. */
static void
diff_managed_types(DiffContext *ctx, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	const ScimAttrRule *rule = &ctx->style->rules[attr->ord];
	ListCell   *lc;

	foreach(lc, ctx->style->types[attr->ord])
	{
		const char *type = (const char *) lfirst(lc);
		const json_t *old = only_of_type(from, type);
		const json_t *new = only_of_type(to, type);

		if (old && new)
		{
			diff_value(ctx, attr, type, old, new);
			continue;
		}
		if (has_type(from, type) && (new ? rule->apply != SCIM_APPLY_ADD_ONLY : !scim_diff_keeps(rule)))
			set_value(ctx, attr, type_filter(type), NULL);
		if (new && !(rule->apply == SCIM_APPLY_ADD_ONLY && contains(attr, from, new)))
			add_value(ctx, attr, new);
	}
}

static void
diff_by_type(DiffContext *ctx, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	for (size_t i = 0; i < json_array_size(to); i++)
	{
		const json_t *item = json_array_get(to, i);
		const char *type = json_string_value(member(item, "type"));

		diff_value(ctx, attr, type, only_of_type(from, type), item);
	}
}

/* The references of "list" that "other" does not hold. */
static int
missing_references(const ScimAttr *attr, const json_t *list, const json_t *other, const char **ids)
{
	ScimMultiSet set;
	int			n = 0;

	set_of(&set, attr, other);
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *item = json_array_get(list, i);
		const json_t *value = member(item, "value");

		if (json_is_string(value) && !set_contains(&set, item))
			ids[n++] = json_string_value(value);
	}
	return n;
}

/* The same as an array of {"value": id}. */
static void
list_operation(DiffContext *ctx, const char *op, const ScimAttr *attr, const char *const *ids, int n)
{
	if (n == 0)
		return;
	begin_operation(ctx, op, attr, NULL);
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(ctx->out, i == 0 ? ",\"value\":[{\"value\":" : ",{\"value\":");
		escape_json(ctx->out, ids[i]);
		appendStringInfoChar(ctx->out, '}');
	}
	appendStringInfoString(ctx->out, "]}");
}

/* Members: what is new is added, what is gone is removed. */
static void
diff_references(DiffContext *ctx, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	const char **ids = palloc(sizeof(char *) * (json_array_size(from) + json_array_size(to) + 1));
	int			n = missing_references(attr, to, from, ids);

	list_operation(ctx, "add", attr, ids, n);
	n = ctx->style->rules[attr->ord].apply == SCIM_APPLY_ADD_ONLY ? 0 : missing_references(attr, from, to, ids);
	if (ctx->style->remove_by_list)
		list_operation(ctx, "remove", attr, ids, n);
	else
		for (int i = 0; i < n; i++)
		{
			StringInfoData filter;

			initStringInfo(&filter);
			appendStringInfoString(&filter, "value eq ");
			escape_json(&filter, ids[i]);
			set_value(ctx, attr, filter.data, NULL);
		}
	pfree(ids);
}

/* ---- attributes ---- */

static void
diff_attr(DiffContext *ctx, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	const ScimAttrRule *rule = &ctx->style->rules[attr->ord];
	bool		adds = attr->multi && rule->apply == SCIM_APPLY_ADD_ONLY;

	if (!ctx->style->managed[attr->ord] ||
		rule->apply == SCIM_APPLY_CREATE_ONLY ||
		(rule->apply == SCIM_APPLY_IF_ABSENT && from) ||
		(scim_diff_keeps(rule) && to == NULL) ||
		scim_value_same(attr, from, to))
		return;
	if (ctx->style->one_operation || ctx->style->pathless || (attr->multi && ctx->style->whole_lists))
	{
		if (scim_multi_is_reference(attr))
			diff_references(ctx, attr, from, to);
		else if (adds)
			add_missing(ctx, attr, from, to);
		else
			set_value(ctx, attr, NULL, to);
		return;
	}
	if (attr->multi && ctx->style->types[attr->ord] != NIL)
	{
		diff_managed_types(ctx, attr, from, to);
		return;
	}
	if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi && to && scim_attr_sub(attr, "$ref", 4) == NULL)
	{
		for (int i = 0; i < attr->nsubs; i++)
			diff_attr(ctx, attr->subs[i], member(from, attr->subs[i]->name), member(to, attr->subs[i]->name));
		return;
	}
	if (scim_multi_is_reference(attr))
		diff_references(ctx, attr, from, to);
	else if (adds)
		add_missing(ctx, attr, from, to);
	else if (attr->multi && from && to && same_types(from, to))
		diff_by_type(ctx, attr, from, to);
	else
		set_value(ctx, attr, NULL, to);
}

static void
diff_named(DiffContext *ctx, const char *name, const json_t *from, const json_t *to)
{
	const ScimAttr *attr = scim_type_attr(ctx->type, SCIM_EXT_CORE, name, strlen(name));

	if (attr)
		diff_attr(ctx, attr, scim_document_value(ctx->type, from, attr), scim_document_value(ctx->type, to, attr));
}

int
scim_diff_operations(const ScimResourceType *type, const ScimDiffStyle *style,
					 const json_t *from, const json_t *to, StringInfo out, List **changed)
{
	DiffContext ctx = {.type = type, .style = style, .out = out, .changed = changed, .open_ext = SCIM_EXT_CORE};

	initStringInfo(&ctx.values);
	/* core attributes come first: active and userName are among them */
	if (style->pathless)
	{
		diff_named(&ctx, "active", from, to);
		diff_named(&ctx, "userName", from, to);
	}
	for (int i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];

		if (!style->managed[attr->ord] ||
			(attr->ext == SCIM_EXT_CORE && (strcmp(attr->name, "active") == 0 || strcmp(attr->name, "userName") == 0)))
			continue;
		diff_attr(&ctx, attr, scim_document_value(type, from, attr), scim_document_value(type, to, attr));
	}
	if (!style->pathless)
	{
		diff_named(&ctx, "active", from, to);
		diff_named(&ctx, "userName", from, to);
	}
	else if (ctx.values.len > 0)
		appendStringInfo(out, "%s{\"op\":\"replace\",\"value\":{%s%s}}", ctx.count++ > 0 ? "," : "",
						 ctx.values.data, ctx.open_ext != SCIM_EXT_CORE ? "}" : "");
	return ctx.count;
}

/* ---- bodies ---- */

void
scim_diff_patch_body(const char *operations, StringInfo out)
{
	appendStringInfo(out, "{\"schemas\":[\"%s\"],\"Operations\":[%s]}", SCIM_URN_PATCH_OP, operations);
}

void
scim_diff_create_body(const ScimResourceType *type, const json_t *document, StringInfo out)
{
	size_t		len;
	char	   *text = scim_json_print(document, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	appendStringInfo(out, "{\"schemas\":[\"%s\"", type->schema->uri);
	for (int i = 0; i < type->nexts; i++)
	{
		const char *uri = type->exts[i].schema->uri;

		if (member(document, uri))
			appendStringInfo(out, ",\"%s\"", uri);
	}
	appendStringInfoChar(out, ']');
	/* the document's members follow, without its opening brace */
	if (len > 2)
		appendStringInfo(out, ",%s", text + 1);
	else
		appendStringInfoChar(out, '}');
}
