/*
 * catalog_mapping_option.c
 *		What a mapping says of the row as a whole, and what the system catalogs
 *		say of its attributes.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog_mapping_internal.h"

/* ---- scope ---- */

static void
resolve_membership(ScimResolve *ctx, const json_t *spec)
{
	static const char *const known[] = {"table", "parent", "where", "insert", "adopt", NULL};
	ScimMapping *m = ctx->mapping;
	ScimSide   *side = palloc0(sizeof(ScimSide));

	if (!json_is_object(spec))
		scim_mapping_error(ctx, "membership", ERRCODE_INVALID_PARAMETER_VALUE, "is given as {\"table\": ..., \"parent\": ...}");
	scim_mapping_members(ctx, "membership", spec, known);
	side->relid = scim_mapping_table(ctx, "membership", spec);
	side->relation = scim_qualified_relation(side->relid);
	scim_resolve_reference(ctx, "membership", side->relid, "c", spec, "parent", true, &side->parent);
	side->scope = scim_mapping_scope_of(ctx, side->relid);
	scim_mapping_fixed(ctx, "membership", side->relid, json_object_get(spec, "where"), &side->nfixed,
					   &side->fixed_columns, &side->fixed_values, &side->fixed_types);
	side->inserts = scim_mapping_settings(ctx, "membership", side->relid, m->relid, "r", json_object_get(spec, "insert"), &side->ninserts);
	m->membership = side;
}

/* What a column of the scope is called in the mapped relation. */
static const char *
scope_name(ScimResolve *ctx, const json_t *names, const char *name)
{
	const json_t *other = json_object_get(names, name);

	if (other == NULL)
		return name;
	if (!json_is_string(other) || get_attnum(ctx->mapping->relid, json_string_value(other)) <= 0)
		scim_mapping_error(ctx, "scope", ERRCODE_UNDEFINED_COLUMN, psprintf("gives no column for \"%s\"", name));
	return json_string_value(other);
}

void
scim_resolve_scope(ScimResolve *ctx, const json_t *options)
{
	ScimMapping *m = ctx->mapping;
	const json_t *membership = json_object_get(options, "membership");
	const json_t *names = json_object_get(options, "scope");
	ListCell   *lc;

	if (names && !json_is_object(names))
		scim_mapping_error(ctx, "scope", ERRCODE_INVALID_PARAMETER_VALUE, "is given as {\"column of the scope\": \"column of the relation\"}");
	m->shared = json_is_true(json_object_get(options, "shared"));
	m->nscope = list_length(ctx->scope);
	m->scope_columns = palloc0(sizeof(char *) * Max(m->nscope, 1));
	m->scope_attnums = palloc0(sizeof(AttrNumber) * Max(m->nscope, 1));
	m->scope_types = palloc0(sizeof(char *) * Max(m->nscope, 1));
	if (membership)
		resolve_membership(ctx, membership);
	for (int i = 0; i < m->nscope; i++)
		m->scope_types[i] = "pg_catalog.text";
	if (m->shared)
		return;

	m->nscope = 0;
	foreach(lc, ctx->scope)
	{
		const char *name = (char *) lfirst(lc);
		int			i = m->nscope++;
		ScimSource	src;

		if (m->membership && m->membership->scope[i])
			(void) scim_column_source(m->membership->relid, "c", name, &src);
		else if (scim_column_source(m->relid, "r", scope_name(ctx, names, name), &src) && src.column)
		{
			m->scope_columns[i] = src.column;
			m->scope_attnums[i] = src.attnum;
		}
		else
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("scope column \"%s\" is no column of the relation of mapping \"%s\"", name, ctx->row->name),
					 errhint("Where it has another name there: options => '{\"scope\": {\"%s\": \"...\"}}'. Where all endpoints share these resources: '{\"shared\": true}'", name)));
		m->scope_types[i] = src.type_name;
	}
}

/* ---- the row as a whole ---- */

/* The attribute that an option names: singular, in a column of the row. */
static ScimAttr *
attribute_of(ScimResolve *ctx, const char *option, const char *name)
{
	ScimMapping *m = ctx->mapping;
	char		path[256];

	for (int i = 0; name && i < m->nscalars; i++)
		if (pg_strcasecmp(scim_attr_path(m->type, m->scalars[i].attr, path, sizeof(path)), name) == 0 &&
			m->scalars[i].src.attnum != 0)
			return m->scalars[i].attr;
	scim_mapping_error(ctx, option, ERRCODE_INVALID_PARAMETER_VALUE, "needs an attribute that is a column of the row");
}

static void
resolve_delete(ScimResolve *ctx, const json_t *spec)
{
	static const char *const known[] = {"set", NULL};
	ScimMapping *m = ctx->mapping;
	const char *policy = json_string_value(spec);

	if (policy && strcmp(policy, "row") == 0)
		m->delete_policy = SCIM_DELETE_ROW;
	else if (policy && strcmp(policy, "cascade") == 0)
		m->delete_policy = SCIM_DELETE_CASCADE;
	else if (policy && strcmp(policy, "refuse") == 0)
		m->delete_policy = SCIM_DELETE_REFUSE;
	else if (json_is_object(spec))
	{
		scim_mapping_members(ctx, "delete", spec, known);
		m->delete_policy = SCIM_DELETE_MARK;
		m->marks = scim_mapping_settings(ctx, "delete", m->relid, m->relid, "r", json_object_get(spec, "set"), &m->nmarks);
		if (m->nmarks == 0 || m->filter == NULL)
			scim_mapping_error(ctx, "delete", ERRCODE_INVALID_PARAMETER_VALUE,
							   "needs \"set\", and an option \"filter\" that leaves marked rows out");
	}
	else
		scim_mapping_error(ctx, "delete", ERRCODE_INVALID_PARAMETER_VALUE, "is \"row\", \"cascade\", \"refuse\" or {\"set\": {\"column\": \"expression\"}}");
}

/* The filter over the row as it would be with these columns set. */
static const char *
filter_with(const ScimMapping *m, const ScimSetting *settings, int n)
{
	StringInfoData text;
	Relation	rel = table_open(m->relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	bool		first = true;

	initStringInfo(&text);
	appendStringInfo(&text, "(SELECT %s FROM (SELECT ", m->filter);
	for (int i = 0; i < desc->natts; i++)
	{
		const char *name = quote_identifier(NameStr(TupleDescAttr(desc, i)->attname));
		const char *value = NULL;

		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		for (int j = 0; j < n; j++)
			if (settings[j].attnum == i + 1)
				value = psprintf("%s::%s", settings[j].expr,
								 format_type_extended(TupleDescAttr(desc, i)->atttypid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		appendStringInfo(&text, "%s%s AS %s", first ? "" : ", ", value ? value : psprintf("r.%s", name), name);
		first = false;
	}
	appendStringInfoString(&text, ") r)");
	table_close(rel, NoLock);
	return text.data;
}

static void
resolve_revive(ScimResolve *ctx, const json_t *spec)
{
	static const char *const known[] = {"by", "set", NULL};
	ScimMapping *m = ctx->mapping;

	if (!json_is_object(spec) || m->delete_policy != SCIM_DELETE_MARK)
		scim_mapping_error(ctx, "revive", ERRCODE_INVALID_PARAMETER_VALUE,
						   "is given as {\"by\": attribute, \"set\": {\"column\": \"expression\"}}, where \"delete\" marks rows");
	scim_mapping_members(ctx, "revive", spec, known);
	m->revives = scim_mapping_settings(ctx, "revive", m->relid, m->relid, "r", json_object_get(spec, "set"), &m->nrevives);
	m->revive_by = attribute_of(ctx, "revive", json_string_value(json_object_get(spec, "by")));
	if (m->nrevives == 0)
		scim_mapping_error(ctx, "revive", ERRCODE_INVALID_PARAMETER_VALUE, "needs \"set\"");
	m->revived = filter_with(m, m->revives, m->nrevives);
}

static void
resolve_besides(ScimResolve *ctx, const json_t *spec)
{
	static const char *const known[] = {"table", "parent", "by", "insert", NULL};
	ScimMapping *m = ctx->mapping;

	if (spec == NULL)
		return;
	if (!json_is_array(spec))
		scim_mapping_error(ctx, "beside", ERRCODE_INVALID_PARAMETER_VALUE, "is a list of {\"table\": ..., \"parent\": ..., \"insert\": ...}");
	m->besides = palloc0(sizeof(ScimBeside) * (json_array_size(spec) + 1));
	for (size_t i = 0; i < json_array_size(spec); i++)
	{
		const json_t *item = json_array_get(spec, i);
		ScimBeside *beside;

		scim_mapping_members(ctx, "beside", item, known);
		if (json_object_get(item, "by"))
		{
			scim_mapping_side(ctx, "beside", item)->always = true;
			continue;
		}
		beside = &m->besides[m->nbesides++];
		beside->relid = scim_mapping_table(ctx, "beside", item);
		beside->relation = scim_qualified_relation(beside->relid);
		scim_resolve_reference(ctx, "beside", beside->relid, "c", item, "parent", true, &beside->parent);
		beside->scope = scim_mapping_scope_of(ctx, beside->relid);
		scim_fit_reference(m, m, "beside", beside->relid, "c", &beside->parent, beside->scope);
		beside->inserts = scim_mapping_settings(ctx, "beside", beside->relid, m->relid, "r", json_object_get(item, "insert"), &beside->ninserts);
	}
}

/* What can be done with the rows of a view. */
static void
note_abilities(ScimMapping *m)
{
	int			events;

	m->lockable = m->insertable = m->updatable = m->deletable = true;
	if (get_rel_relkind(m->relid) != RELKIND_VIEW)
		return;
	events = relation_is_updatable(m->relid, NIL, true, NULL);
	m->insertable = (events & (1 << CMD_INSERT)) != 0;
	m->updatable = (events & (1 << CMD_UPDATE)) != 0;
	m->deletable = (events & (1 << CMD_DELETE)) != 0;
	/* triggers can write what nothing can lock */
	m->lockable = (relation_is_updatable(m->relid, NIL, false, NULL) & (1 << CMD_UPDATE)) != 0;
}

void
scim_resolve_options(ScimResolve *ctx, const json_t *options)
{
	static const char *const known[] = {
		"shared", "scope", "membership", "filter", "insert", "touch", "delete", "revive", "state", "track", "beside", NULL
	};
	ScimMapping *m = ctx->mapping;
	const json_t *filter = json_object_get(options, "filter");
	const json_t *adopt = json_object_get(json_object_get(options, "membership"), "adopt");

	scim_mapping_members(ctx, "options", options, known);
	if (filter)
	{
		Oid			typid = InvalidOid;

		if (json_is_string(filter))
			m->filter = scim_mapping_expression(ctx, "filter", m->relid, "r", json_string_value(filter), &typid);
		if (typid != BOOLOID)
			scim_mapping_error(ctx, "filter", ERRCODE_INVALID_PARAMETER_VALUE, "is a boolean expression over the row");
	}
	m->inserts = scim_mapping_settings(ctx, "insert", m->relid, m->relid, "r", json_object_get(options, "insert"), &m->ninserts);
	m->touches = scim_mapping_settings(ctx, "touch", m->relid, m->relid, "r", json_object_get(options, "touch"), &m->ntouches);
	if (json_object_get(options, "delete"))
		resolve_delete(ctx, json_object_get(options, "delete"));
	if (json_object_get(options, "revive"))
		resolve_revive(ctx, json_object_get(options, "revive"));
	if (adopt)
		m->adopt_by = attribute_of(ctx, "membership", json_string_value(adopt));
	resolve_besides(ctx, json_object_get(options, "beside"));
	note_abilities(m);
}

/* ---- characteristics ---- */

static int
compare_enum_labels(const void *a, const void *b)
{
	float4		x = ((const Form_pg_enum) GETSTRUCT(*(const HeapTuple *) a))->enumsortorder;
	float4		y = ((const Form_pg_enum) GETSTRUCT(*(const HeapTuple *) b))->enumsortorder;

	return (x > y) - (x < y);
}

static void
take_enum_labels(ScimAttr *attr, Oid typid)
{
	CatCList   *list = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(typid));
	HeapTuple  *tuples = palloc(sizeof(HeapTuple) * Max(list->n_members, 1));

	attr->canonical = palloc(sizeof(char *) * Max(list->n_members, 1));
	attr->ncanonical = list->n_members;
	for (int i = 0; i < list->n_members; i++)
		tuples[i] = &list->members[i]->tuple;
	qsort(tuples, list->n_members, sizeof(HeapTuple), compare_enum_labels);
	for (int i = 0; i < list->n_members; i++)
		attr->canonical[i] = pstrdup(NameStr(((Form_pg_enum) GETSTRUCT(tuples[i]))->enumlabel));
	ReleaseSysCacheList(list);
}

/* The values of "column = ANY (list)", as a CHECK (column IN (...)) is stored. */
static void
take_check_list(ScimAttr *attr, AttrNumber attnum, Node *check)
{
	ScalarArrayOpExpr *any;
	Node	   *column;
	Const	   *list;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int16		len;
	bool		byval;
	char		align;
	Oid			element;
	Oid			output;
	bool		varlena;

	check = eval_const_expressions(NULL, check);
	if (!IsA(check, ScalarArrayOpExpr))
		return;
	any = (ScalarArrayOpExpr *) check;
	column = strip_implicit_coercions(linitial(any->args));
	list = (Const *) lsecond(any->args);
	if (!any->useOr || strcmp(get_opname(any->opno), "=") != 0 || !IsA(column, Var) ||
		((Var *) column)->varattno != attnum || !IsA(list, Const) || list->constisnull)
		return;
	element = get_element_type(list->consttype);
	if (!OidIsValid(element))
		return;
	get_typlenbyvalalign(element, &len, &byval, &align);
	deconstruct_array(DatumGetArrayTypeP(list->constvalue), element, len, byval, align, &elements, &nulls, &n);
	getTypeOutputInfo(element, &output, &varlena);
	attr->canonical = palloc(sizeof(char *) * Max(n, 1));
	attr->ncanonical = 0;
	for (int i = 0; i < n; i++)
		if (!nulls[i])
			attr->canonical[attr->ncanonical++] = OidOutputFunctionCall(output, elements[i]);
}

static void
take_check_lists(ScimAttr *attr, Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	for (int i = 0; constr && i < constr->num_check; i++)
		take_check_list(attr, attnum, stringToNode(constr->check[i].ccbin));
	table_close(rel, AccessShareLock);
}

/* The canonical values of a source: labels, those of an enum, those of a CHECK. */
static void
take_canonical(ScimAttr *attr, Oid relid, const ScimSource *src)
{
	if (attr->type != SCIM_TYPE_STRING)
		return;
	if (src->ncodes > 0)
	{
		attr->canonical = palloc(sizeof(char *) * src->ncodes);
		attr->ncanonical = 0;
		for (int i = 0; i < src->ncodes; i++)
		{
			bool		known = false;

			for (int j = 0; j < attr->ncanonical && !known; j++)
				known = strcmp(attr->canonical[j], src->codes[i].label) == 0;
			if (!known)
				attr->canonical[attr->ncanonical++] = src->codes[i].label;
		}
	}
	else if (src->attnum == 0 || src->json_path)
		return;
	else if (get_typtype(getBaseType(src->typid)) == TYPTYPE_ENUM)
		take_enum_labels(attr, getBaseType(src->typid));
	else
		take_check_lists(attr, relid, src->attnum);
}

static bool
given_on_insert(const ScimMapping *m, AttrNumber attnum)
{
	for (int i = 0; i < m->ninserts; i++)
		if (m->inserts[i].attnum == attnum)
			return true;
	return false;
}

/* Does another attribute give this column a value, when it is given one? */
static bool
is_written_by_another(const ScimMapping *m, const ScimSource *src)
{
	for (int i = 0; i < m->nscalars; i++)
		for (int j = 0; j < m->scalars[i].src.nwrites; j++)
			if (&m->scalars[i].src != src && m->scalars[i].src.side == NULL && m->scalars[i].src.writes[j].attnum == src->attnum)
				return true;
	return false;
}

/* Must a client give it, because the column takes no null and has no default? */
static bool
is_required(const ScimMapping *m, Oid relid, const ScimSource *src)
{
	if (src->required)
		return true;
	return src->side == NULL && src->attnum != 0 && src->json_path == NULL && src->column && src->not_null && !src->has_default &&
		src->null_text == NULL && src->initial == NULL && (src->cls != SCIM_SQL_BOOLEAN || relid == m->relid) &&
		!(relid == m->relid && (given_on_insert(m, src->attnum) || is_written_by_another(m, src)));
}

static void
describe_leaf(const ScimMapping *m, ScimAttr *attr, Oid relid, const ScimSource *src)
{
	take_canonical(attr, src->side ? src->side->relid : relid, src->side && src->inner ? src->inner : src);
	if (attr->mutability == SCIM_READ_ONLY)
		return;
	if (!scim_source_writable(src))
	{
		attr->mutability = SCIM_READ_ONLY;
		attr->required = false;
		return;
	}
	/* an id does not change */
	if (relid == m->relid && src->side == NULL && scim_key_is_written(&m->key, src))
		attr->mutability = SCIM_IMMUTABLE;
	if (is_required(m, relid, src))
		attr->required = true;
}

/* Do two sub-attributes live in one column?  Then neither is required. */
static bool
is_column_shared(const ScimChild *child, int j)
{
	for (int i = 0; i < child->nsubs; i++)
		if (i != j && child->srcs[i].attnum != 0 && child->srcs[i].attnum == child->srcs[j].attnum)
			return true;
	return false;
}

/* Is a column that of a singular attribute, too?  Then that one gives it. */
static bool
is_column_of_scalar(const ScimMapping *m, const ScimSource *src)
{
	for (int i = 0; i < m->nscalars; i++)
		if (src->attnum != 0 && m->scalars[i].src.attnum == src->attnum && m->scalars[i].src.column && m->scalars[i].src.json_path == NULL)
			return true;
	return false;
}

/* A complex attribute none of whose sub-attributes can be written is read-only. */
static void
describe_complex(ScimAttr *attr)
{
	bool		all = attr->nsubs > 0;

	for (int i = 0; i < attr->nsubs; i++)
		all = all && attr->subs[i]->mutability == SCIM_READ_ONLY;
	if (all)
	{
		attr->mutability = SCIM_READ_ONLY;
		attr->required = false;
	}
}

/*
 * Where slots are all the places of an attribute, what each fixes of a
 * sub-attribute (`type`) is what it can be.
 */
static void
take_slot_labels(const ScimMapping *m, const ScimAttr *attr, ScimAttr *sub)
{
	const char **labels = palloc(sizeof(char *) * Max(m->nslots, 1));
	int			nlabels = 0;

	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].attr == attr)
			return;
	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const char *label = NULL;
		bool		known = false;

		if (slot->attr != attr)
			continue;
		for (int j = 0; j < slot->nsubs; j++)
			if (slot->subs[j] == sub && slot->srcs[j].expr == NULL)
				label = slot->srcs[j].constant;
		if (label == NULL)
			return;
		for (int k = 0; k < nlabels; k++)
			known = known || strcmp(labels[k], label) == 0;
		if (!known)
			labels[nlabels++] = label;
	}
	sub->canonical = labels;
	sub->ncanonical = nlabels;
}

void
scim_mapping_characteristics(ScimResolve *ctx)
{
	ScimMapping *m = ctx->mapping;

	for (int i = 0; i < m->nscalars; i++)
	{
		ScimAttr   *attr = m->scalars[i].attr;

		describe_leaf(m, attr, m->relid, &m->scalars[i].src);
		if (attr->parent && attr->required && m->scalars[i].src.not_null)
			attr->parent->required = true;
	}
	for (int i = 0; i < m->nslots; i++)
	{
		ScimSlot   *slot = &m->slots[i];

		for (int j = 0; j < slot->nsubs; j++)
			if (slot->subs[j] && slot->srcs[j].column == NULL && slot->srcs[j].nwrites == 0 && slot->srcs[j].expr)
				slot->subs[j]->mutability = SCIM_READ_ONLY;
			else if (slot->srcs[j].expr && !slot->flag && is_required(m, m->relid, &slot->srcs[j]) && !is_column_of_scalar(m, &slot->srcs[j]))
				slot->attr->required = true;
	}
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].subs[j] && m->slots[i].subs[j]->type == SCIM_TYPE_STRING)
				take_slot_labels(m, m->slots[i].attr, m->slots[i].subs[j]);
	for (int i = 0; i < m->nchildren; i++)
	{
		ScimChild  *child = &m->children[i];

		if (child->kind == SCIM_CHILD_INLINE && child->store.column == NULL)
			child->attr->mutability = SCIM_READ_ONLY;
		for (int j = 0; child->kind == SCIM_CHILD_VALUES && j < child->nsubs; j++)
			if (child->srcs[j].expr && !is_column_shared(child, j))
				describe_leaf(m, child->subs[j] ? child->subs[j] : child->attr, child->relid, &child->srcs[j]);
	}
	for (int i = 0; i < m->type->ntop; i++)
		if (m->type->top[i]->type == SCIM_TYPE_COMPLEX && m->type->top[i] != m->type->a_meta)
			describe_complex(m->type->top[i]);
}
