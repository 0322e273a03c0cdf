/*
 * core_bulkref.c
 *		References between the operations of a Bulk.
 *
 * The order is that of Tarjan's strongly connected components, which come out
 * such that each comes after those it leads to.
 */
#include <stdlib.h>
#include <string.h>

#include "core_bulkref.h"

#define PREFIX "bulkId:"
#define PREFIX_LEN 7

/* A text in the data of an operation that holds "bulkId:x". */
typedef struct ScimBulkReference
{
	struct ScimBulkReference *next;
	ScimBulkOp *to;				/* NULL: no POST has this bulkId */
	json_t	   *object;			/* member "key" of this object, or ... */
	const char *key;
	json_t	   *array;			/* ... element "index" of this array */
	size_t		index;
	long		literal;		/* the text is a path: where "bulkId:x" stands, quotes included; else -1 */
	/* the attribute that it is part of, for circles */
	ScimAttr   *attr;
	json_t	   *holder;			/* object that has the whole attribute ... */
	const char *holder_key;		/* ... under this name; NULL: in a PATCH */
} ScimBulkReference;

/* A whole attribute that was taken out of the data of a POST. */
typedef struct ScimBulkCut
{
	struct ScimBulkCut *next;
	ScimAttr   *attr;
	json_t	   *box;			/* {"value": ...} */
} ScimBulkCut;

/* Where an attribute was found. */
typedef struct Place
{
	ScimBulkOp *op;
	ScimAttr   *attr;
	json_t	   *holder;
	const char *holder_key;
} Place;

bool
scim_bulk_is_reference(const char *id)
{
	return strncmp(id, PREFIX, PREFIX_LEN) == 0;
}

static bool
is_method(const ScimBulkOp *op, const char *method)
{
	return op->method != NULL && strcmp(op->method, method) == 0;
}

/* ---- by bulkId ---- */

static int
compare_bulk_ids(const void *a, const void *b)
{
	return strcmp((*(ScimBulkOp *const *) a)->bulk_id, (*(ScimBulkOp *const *) b)->bulk_id);
}

/* The POST of this bulkId, or NULL. */
static ScimBulkOp *
operation_of(const ScimBulkGraph *graph, const char *bulk_id)
{
	ScimBulkOp	key;
	ScimBulkOp *key_pointer = &key;
	ScimBulkOp **found;

	key.bulk_id = bulk_id;
	found = bsearch(&key_pointer, graph->by_id, (size_t) graph->nby_id, sizeof(ScimBulkOp *), compare_bulk_ids);
	return found != NULL && is_method(*found, "POST") ? *found : NULL;
}

static bool
sort_by_id(ScimBulkGraph *graph, ScimError *err)
{
	for (int i = 0; i < graph->nops; i++)
		if (graph->ops[i].bulk_id != NULL)
			graph->by_id[graph->nby_id++] = &graph->ops[i];
	qsort(graph->by_id, (size_t) graph->nby_id, sizeof(ScimBulkOp *), compare_bulk_ids);
	for (int i = 1; i < graph->nby_id; i++)
	{
		long		one = graph->by_id[i - 1] - graph->ops;
		long		other = graph->by_id[i] - graph->ops;

		if (compare_bulk_ids(&graph->by_id[i - 1], &graph->by_id[i]) == 0)
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "Operations[%ld]: its bulkId is that of another operation",
							 one > other ? one : other);
	}
	return true;
}

/* ---- finding references ---- */

/*
 * Does this attribute refer to resources here: complex, with $ref, or a
 * reference?  What is readOnly is not written, so it refers to nothing.
 */
static bool
refers(const ScimAttr *attr)
{
	const ScimAttr *ref = attr->type == SCIM_TYPE_COMPLEX ? scim_attr_sub(attr, "$ref", 4) : attr;

	if (attr->mutability == SCIM_READ_ONLY || ref == NULL || ref->type != SCIM_TYPE_REFERENCE)
		return false;
	for (int i = 0; i < ref->nref_types; i++)
	{
		const char *type = ref->ref_types[i];

		if (!scim_name_eq(type, strlen(type), "external") && !scim_name_eq(type, strlen(type), "uri"))
			return true;
	}
	return ref != attr;
}

/* Of the sub-attributes, those that hold an id or a URI; NULL: the whole value. */
static bool
is_reference_part(const ScimAttr *sub)
{
	return sub == NULL || strcmp(sub->name, "value") == 0 || strcmp(sub->name, "$ref") == 0;
}

/* NULL: memory is out, which scim_alloc_failed() remembers. */
static ScimBulkReference *
new_reference(const ScimBulkGraph *graph, const char *bulk_id, size_t len)
{
	ScimBulkReference *r = scim_alloc0(sizeof(ScimBulkReference));
	char	   *name = scim_strndup(bulk_id, len);

	if (r == NULL || name == NULL)
		return NULL;
	r->to = operation_of(graph, name);
	r->literal = -1;
	return r;
}

static void
append_reference(ScimBulkOp *op, ScimBulkReference *r)
{
	if (op->last != NULL)
		op->last->next = r;
	else
		op->first = r;
	op->last = r;
}

/* A text that is "bulkId:x", or a URI that ends in "/bulkId:x": from there on; else NULL. */
static const char *
reference_in(const json_t *value)
{
	const char *text = json_string_value(value);
	const char *slash = text != NULL ? strrchr(text, '/') : NULL;

	if (slash != NULL)
		text = slash + 1;
	return text != NULL && scim_bulk_is_reference(text) ? text : NULL;
}

static void
note_text(const ScimBulkGraph *graph, const Place *place, const json_t *value,
		  json_t *object, const char *key, json_t *array, size_t index)
{
	const char *text = reference_in(value);
	ScimBulkReference *r;

	if (text == NULL)
		return;
	r = new_reference(graph, text + PREFIX_LEN, strlen(text + PREFIX_LEN));
	if (r == NULL)
		return;
	r->object = object;
	r->key = key;
	r->array = array;
	r->index = index;
	r->attr = place->attr;
	r->holder = place->holder;
	r->holder_key = place->holder_key;
	append_reference(place->op, r);
}

/* One value of a reference attribute. */
static void
note_value(const ScimBulkGraph *graph, const Place *place, json_t *value)
{
	static const char *const names[] = {"value", "$ref"};

	for (int i = 0; json_is_object(value) && i < 2; i++)
	{
		const char *key;
		const json_t *text = scim_json_get(value, names[i], &key);

		if (text != NULL)
			note_text(graph, place, text, value, key, NULL, 0);
	}
}

/* The value of an attribute, in member "key" of "object". */
static void
note_attribute(const ScimBulkGraph *graph, const Place *place, json_t *object, const char *key)
{
	json_t	   *value = json_object_get(object, key);

	if (!refers(place->attr))
		return;
	note_text(graph, place, value, object, key, NULL, 0);
	note_value(graph, place, value);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		json_t	   *element = json_array_get(value, i);

		note_text(graph, place, element, NULL, NULL, value, i);
		note_value(graph, place, element);
	}
}

/*
 * Attributes of an object: a resource (ext is SCIM_EXT_CORE), or the part of
 * an extension, which has none of its own.  "in_patch": of a PATCH, which is no
 * part of a circle.
 */
static void
note_members(const ScimBulkGraph *graph, ScimBulkOp *op, json_t *object, int ext, bool in_patch)
{
	const char *key;
	json_t	   *value;

	json_object_foreach(object, key, value)
	{
		Place		place = {op, NULL, NULL, NULL};
		ScimPath	path;

		/* most members are texts that refer to nothing: what they are called does not matter */
		if (!json_is_object(value) && !json_is_array(value) && reference_in(value) == NULL)
			continue;
		if (ext != SCIM_EXT_CORE)
			place.attr = scim_type_attr(op->type, ext, key, strlen(key));
		else if (scim_path_resolve(op->type, key, strlen(key), graph->mode, &path) == strlen(key))
		{
			/* compat: a dotted key */
			place.attr = is_reference_part(path.sub) ? path.attr : NULL;
			if (path.attr == NULL && path.ext != SCIM_EXT_CORE && json_is_object(value))
				note_members(graph, op, value, path.ext, in_patch);
		}
		if (place.attr == NULL || !refers(place.attr))
			continue;
		if (!in_patch)
		{
			/* the member's own key goes with it when it is cut out */
			place.holder = object;
			place.holder_key = scim_strndup(key, strlen(key));
		}
		note_attribute(graph, &place, object, key);
	}
}

/*
 * "bulkId:x" compared with an id in the filter of a path: members[value eq
 * "bulkId:x"].  The last comes first, so that replacing one does not move those
 * that are still to do.  Depth is bounded by the parser.
 */
static void
note_filter(const ScimBulkGraph *graph, const ScimFilter *filter, const Place *place,
			json_t *operation, const char *key, const char *text)
{
	const char *literal;
	ScimBulkReference *r;

	if (filter->kind != SCIM_FILTER_COMPARE)
	{
		if (filter->right != NULL)
			note_filter(graph, filter->right, place, operation, key, text);
		if (filter->left != NULL)
			note_filter(graph, filter->left, place, operation, key, text);
		return;
	}
	if (filter->operand.kind != SCIM_OPERAND_STRING || !is_reference_part(filter->sub) ||
		!scim_bulk_is_reference(filter->operand.text) ||
		(literal = strchr(text + filter->position, '"')) == NULL)
		return;
	r = new_reference(graph, filter->operand.text + PREFIX_LEN, filter->operand.len - PREFIX_LEN);
	if (r == NULL)
		return;
	r->object = operation;
	r->key = key;
	r->literal = literal - text;
	r->attr = place->attr;
	append_reference(place->op, r);
}

/* One operation of a PATCH. */
static void
note_patch_operation(const ScimBulkGraph *graph, ScimBulkOp *op, json_t *operation)
{
	const char *path_key;
	const char *value_key;
	const char *text = json_string_value(scim_json_get(operation, "path", &path_key));
	json_t	   *value = scim_json_get(operation, "value", &value_key);
	Place		place = {op, NULL, NULL, NULL};
	ScimPath   *path;
	ScimError	ignored;

	if (text == NULL)
	{
		if (json_is_object(value))
			note_members(graph, op, value, SCIM_EXT_CORE, true);
		return;
	}
	/* a path that is wrong is the PATCH's to refuse */
	memset(&ignored, 0, sizeof(ignored));
	path = scim_path_parse(op->type, text, strlen(text), graph->mode, &ignored);
	if (path == NULL)
		return;
	place.attr = path->attr;
	if (path->attr == NULL)
	{
		if (json_is_object(value))
			note_members(graph, op, value, path->ext, true);
	}
	else if (refers(path->attr))
	{
		if (path->filter != NULL)
			note_filter(graph, path->filter, &place, operation, path_key, text);
		if (value != NULL && is_reference_part(path->sub))
			note_attribute(graph, &place, operation, value_key);
	}
}

static void
note_references(const ScimBulkGraph *graph, ScimBulkOp *op)
{
	const json_t *operations;

	if (op->type == NULL)
		return;
	if (op->id != NULL && scim_bulk_is_reference(op->id))
		op->in_path = new_reference(graph, op->id + PREFIX_LEN, strlen(op->id + PREFIX_LEN));
	if (op->data == NULL)
		return;
	if (!is_method(op, "PATCH"))
	{
		note_members(graph, op, op->data, SCIM_EXT_CORE, false);
		return;
	}
	operations = scim_json_get(op->data, "Operations", NULL);
	for (size_t i = 0; i < json_array_size(operations); i++)
		if (json_is_object(json_array_get(operations, i)))
			note_patch_operation(graph, op, json_array_get(operations, i));
}

/* ---- the order ---- */

static void visit(ScimBulkGraph *graph, ScimBulkOp *op);

static void
follow(ScimBulkGraph *graph, ScimBulkOp *op, const ScimBulkReference *r)
{
	ScimBulkOp *to = r != NULL ? r->to : NULL;

	if (to == NULL)
		return;
	if (to->visited == 0)
	{
		visit(graph, to);
		if (to->low < op->low)
			op->low = to->low;
	}
	else if (to->on_stack && to->visited < op->low)
		op->low = to->visited;
}

static void
visit(ScimBulkGraph *graph, ScimBulkOp *op)
{
	int			bottom = graph->nstack;

	op->visited = op->low = ++graph->counter;
	op->on_stack = true;
	graph->stack[graph->nstack++] = op;
	follow(graph, op, op->in_path);
	for (const ScimBulkReference *r = op->first; r != NULL; r = r->next)
		follow(graph, op, r);
	if (op->low != op->visited)
		return;

	/* what has come onto the stack since then, and is still there, is one unit */
	graph->begin[graph->nunits] = graph->nordered;
	for (int i = bottom; i < graph->nstack; i++)
	{
		graph->stack[i]->on_stack = false;
		graph->stack[i]->unit = graph->nunits;
		graph->order[graph->nordered++] = graph->stack[i];
	}
	graph->nstack = bottom;
	graph->begin[++graph->nunits] = graph->nordered;
}

ScimBulkGraph *
scim_bulk_graph(ScimBulkOp *ops, int nops, ScimMode mode, ScimError *err)
{
	ScimBulkGraph *graph = scim_alloc0(sizeof(ScimBulkGraph));
	size_t		size = sizeof(ScimBulkOp *) * (size_t) (nops + 1);

	if (graph == NULL)
		goto no_memory;
	graph->ops = ops;
	graph->nops = nops;
	graph->mode = mode;
	graph->by_id = scim_alloc(size);
	graph->stack = scim_alloc(size);
	graph->order = scim_alloc(size);
	graph->begin = scim_alloc0(sizeof(int) * (size_t) (nops + 1));
	if (graph->by_id == NULL || graph->stack == NULL || graph->order == NULL || graph->begin == NULL)
		goto no_memory;
	if (!sort_by_id(graph, err))
		return NULL;
	for (int i = 0; i < nops; i++)
		note_references(graph, &ops[i]);
	if (scim_alloc_failed())
		goto no_memory;
	for (int i = 0; i < nops; i++)
		if (ops[i].visited == 0)
			visit(graph, &ops[i]);
	return graph;

no_memory:
	scim_fail_memory(err);
	return NULL;
}

/* ---- putting ids in ---- */

/* "head" and "middle" and "tail" as one text; NULL: memory is out. */
static char *
join(const char *head, size_t head_len, const char *middle, const char *tail)
{
	size_t		middle_len = strlen(middle);
	size_t		tail_len = strlen(tail);
	char	   *text = scim_alloc(head_len + middle_len + tail_len + 1);

	if (text == NULL)
		return NULL;
	memcpy(text, head, head_len);
	memcpy(text + head_len, middle, middle_len);
	memcpy(text + head_len + middle_len, tail, tail_len + 1);
	return text;
}

/* The path "text" with an id in the place of the string at "literal". */
static char *
path_with_id(const char *text, size_t literal, const char *id)
{
	const char *end = text + literal + 1;
	json_t	   *string = json_string(id);
	size_t		len;
	char	   *quoted = string != NULL ? scim_json_print(string, &len) : NULL;

	while (*end != '\0' && *end != '"')
		end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
	return quoted != NULL ? join(text, literal, quoted, *end != '\0' ? end + 1 : end) : NULL;
}

/* Put an id into the place of "bulkId:x"; false: memory is out. */
static bool
resolve(const ScimBulkReference *r, const char *id)
{
	const json_t *value = r->object != NULL ? json_object_get(r->object, r->key) : json_array_get(r->array, r->index);
	const char *text = json_string_value(value);
	const char *slash = text != NULL ? strrchr(text, '/') : NULL;
	char	   *replaced;

	/* done before, or cut out */
	if (text == NULL)
		return true;
	replaced = r->literal >= 0 ? path_with_id(text, (size_t) r->literal, id) :
		join(text, slash != NULL ? (size_t) (slash + 1 - text) : 0, id, "");
	if (replaced == NULL)
		return false;
	if (r->object != NULL)
		return json_object_set_new(r->object, r->key, json_string(replaced)) == 0;
	return json_array_set_new(r->array, r->index, json_string(replaced)) == 0;
}

/*
 * Take a whole attribute out of the data of a POST, because it refers to a
 * resource of the circle that has no id yet; false: memory is out.
 */
static bool
cut_attribute(ScimBulkOp *op, ScimBulkReference *r)
{
	json_t	   *value = json_object_get(r->holder, r->holder_key);
	ScimBulkCut **end = &op->cuts;
	ScimBulkCut *cut;

	/* another reference in the same attribute has done it */
	if (value == NULL)
		return true;
	cut = scim_alloc0(sizeof(ScimBulkCut));
	if (cut == NULL)
		return false;
	cut->attr = r->attr;
	cut->box = scim_json_object();
	if (cut->box == NULL || json_object_set(cut->box, "value", value) != 0)
		return false;
	(void) json_object_del(r->holder, r->holder_key);
	while (*end != NULL)
		end = &(*end)->next;
	*end = cut;
	/* compat: manager as a bare text, which is its own holder */
	if (r->object == r->holder)
	{
		r->object = cut->box;
		r->key = "value";
	}
	return true;
}

static bool
unresolved(const ScimBulkReference *r, ScimError *err)
{
	return scim_fail(err, 409, NULL, "%s refers to a bulkId for which this request has made no resource",
					 r->attr != NULL ? r->attr->name : "path");
}

/* "complete": nothing may be left without an id. */
static bool
replace_references(ScimBulkOp *op, bool complete, ScimError *err)
{
	if (op->in_path != NULL)
	{
		if (op->in_path->to == NULL || op->in_path->to->new_id == NULL)
			return unresolved(op->in_path, err);
		op->id = op->in_path->to->new_id;
	}
	for (ScimBulkReference *r = op->first; r != NULL; r = r->next)
	{
		if (r->to != NULL && r->to->new_id != NULL)
		{
			if (!resolve(r, r->to->new_id))
				return scim_fail_memory(err);
		}
		else if (complete || r->to == NULL || r->holder_key == NULL || r->to->unit != op->unit)
			return unresolved(r, err);
		else if (!cut_attribute(op, r))
			return scim_fail_memory(err);
	}
	return true;
}

bool
scim_bulk_prepare(ScimBulkOp *op, ScimError *err)
{
	ScimCoreFrame frame;
	bool		good;

	scim_core_enter(&frame);
	good = replace_references(op, false, err);
	scim_core_leave(&frame);
	return good;
}

/* {"op":"add","path":...,"value":...}; NULL: memory is out. */
static json_t *
add_operation(const ScimBulkOp *op, const ScimBulkCut *cut)
{
	json_t	   *operation = scim_json_object();
	char		path[512];

	if (operation == NULL ||
		json_object_set_new(operation, "op", json_string("add")) != 0 ||
		json_object_set_new(operation, "path", json_string(scim_attr_path(op->type, cut->attr, path, sizeof(path)))) != 0 ||
		json_object_set(operation, "value", json_object_get(cut->box, "value")) != 0)
		return NULL;
	return operation;
}

static json_t *
patch_of_cuts(const ScimBulkOp *op)
{
	json_t	   *operations = json_array();
	json_t	   *body = scim_json_object();

	if (operations == NULL || body == NULL)
		return NULL;
	for (const ScimBulkCut *cut = op->cuts; cut != NULL; cut = cut->next)
		if (json_array_append_new(operations, add_operation(op, cut)) != 0)
			return NULL;
	if (json_object_set_new(body, "schemas", json_pack("[s]", SCIM_URN_PATCH_OP)) != 0 ||
		json_object_set_new(body, "Operations", operations) != 0)
		return NULL;
	return body;
}

json_t *
scim_bulk_complete(ScimBulkOp *op, ScimError *err)
{
	ScimCoreFrame frame;
	json_t	   *body = NULL;

	scim_core_enter(&frame);
	if (replace_references(op, true, err) && (body = patch_of_cuts(op)) == NULL)
		scim_fail_memory(err);
	scim_core_leave(&frame);
	return body;
}
