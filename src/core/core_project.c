/*
 * core_project.c
 *		Which attributes an answer holds (RFC 7644 3.9, RFC 7643 7 "returned").
 */
#include <string.h>

#include "core_project.h"

/* A name list, from an array or cut out of a text. */
typedef struct Names
{
	const char *const *array;
	int			narray;
	const char *text;			/* comma-separated, or NULL */
} Names;

typedef void (*NameHandler) (ScimSelection *s, const ScimResourceType *type, const ScimPath *path);

/* ---- names ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Calls "handler" for each name that the type knows; NULL: only looks.  Returns
 * whether there is a name at all, known or not.
 */
static bool
each_name(const Names *names, ScimSelection *s, const ScimResourceType *type, NameHandler handler)
{
	const char *text = names->text;
	bool		any = false;

	for (int i = 0; names->text ? text != NULL : i < names->narray; i++)
	{
		const char *name = names->text ? text : names->array[i];
		size_t		len = names->text ? strcspn(name, ",") : strlen(name);
		ScimPath	path;

		if (names->text)
			text = name[len] == ',' ? name + len + 1 : NULL;
		while (len > 0 && is_blank(*name))
		{
			name++;
			len--;
		}
		while (len > 0 && is_blank(name[len - 1]))
			len--;
		if (len == 0)
			continue;
		any = true;
		if (handler && scim_path_resolve(type, name, len, SCIM_COMPAT, &path) == len)
			handler(s, type, &path);
	}
	return any;
}

/* ---- selecting ---- */

static bool
is_unasked(const ScimAttr *attr)
{
	return attr->returned == SCIM_RETURNED_DEFAULT || attr->returned == SCIM_RETURNED_ALWAYS;
}

static void
select_subs(ScimSelection *s, const ScimAttr *attr)
{
	for (int i = 0; i < attr->nsubs; i++)
		if (is_unasked(attr->subs[i]))
			s->has[attr->subs[i]->ord] = true;
}

static void
include(ScimSelection *s, const ScimResourceType *type, const ScimPath *path)
{
	const ScimAttr *attr = path->attr;

	if (attr == NULL)
	{
		/* a URN alone names all attributes of its schema */
		for (int i = 0; i < type->ntop; i++)
			if (type->top[i]->ext == path->ext && !type->top[i]->common && is_unasked(type->top[i]))
			{
				s->has[type->top[i]->ord] = true;
				select_subs(s, type->top[i]);
			}
		return;
	}
	if (attr->returned == SCIM_RETURNED_NEVER || (path->sub && path->sub->returned == SCIM_RETURNED_NEVER))
		return;
	s->has[attr->ord] = true;
	if (path->sub)
		s->has[path->sub->ord] = true;
	else
		select_subs(s, attr);
}

static void
drop(ScimSelection *s, const ScimAttr *attr)
{
	if (attr->returned == SCIM_RETURNED_ALWAYS)
		return;
	s->has[attr->ord] = false;
	for (int i = 0; i < attr->nsubs; i++)
		s->has[attr->subs[i]->ord] = false;
}

static void
exclude(ScimSelection *s, const ScimResourceType *type, const ScimPath *path)
{
	if (path->sub)
		drop(s, path->sub);
	else if (path->attr)
		drop(s, path->attr);
	else
		for (int i = 0; i < type->ntop; i++)
			if (type->top[i]->ext == path->ext && !type->top[i]->common)
				drop(s, type->top[i]);
}

static void
select_default(ScimSelection *s, const ScimResourceType *type)
{
	for (int i = 0; i < type->ntop; i++)
		if (is_unasked(type->top[i]))
		{
			s->has[type->top[i]->ord] = true;
			select_subs(s, type->top[i]);
		}
}

/*
 * returned always is in, whatever was asked for; a complex attribute is in if
 * something of it is.
 */
static void
complete(ScimSelection *s, const ScimResourceType *type)
{
	for (int i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];
		bool		any = attr->nsubs == 0;

		if (attr->returned == SCIM_RETURNED_ALWAYS && !s->has[attr->ord])
		{
			s->has[attr->ord] = true;
			select_subs(s, attr);
		}
		if (!s->has[attr->ord])
			continue;
		for (int j = 0; j < attr->nsubs; j++)
		{
			if (attr->subs[j]->returned == SCIM_RETURNED_ALWAYS)
				s->has[attr->subs[j]->ord] = true;
			any = any || s->has[attr->subs[j]->ord];
		}
		s->has[attr->ord] = any;
	}
}

static ScimSelection *
new_selection(const ScimResourceType *type, ScimError *err)
{
	ScimSelection *s = scim_alloc0(sizeof(ScimSelection) + type->nattrs * sizeof(bool));

	if (s == NULL)
		scim_fail_memory(err);
	else
		s->nattrs = type->nattrs;
	return s;
}

static ScimSelection *
make_selection(const ScimResourceType *type, const Names *attributes, const Names *excluded, ScimError *err)
{
	ScimSelection *s = new_selection(type, err);
	bool		has_attributes;
	bool		has_excluded;

	if (s == NULL)
		return NULL;
	has_attributes = each_name(attributes, s, type, NULL);
	has_excluded = each_name(excluded, s, type, NULL);
	if (has_attributes && has_excluded)
	{
		scim_fail(err, 400, SCIM_INVALID_VALUE, "attributes and excludedAttributes exclude each other");
		return NULL;
	}
	s->is_default = !has_attributes && !has_excluded;
	if (has_attributes)
		each_name(attributes, s, type, include);
	else
		select_default(s, type);
	if (has_excluded)
		each_name(excluded, s, type, exclude);
	complete(s, type);
	return s;
}

ScimSelection *
scim_selection_make(const ScimResourceType *type,
					const char *const *attributes, int nattributes,
					const char *const *excluded, int nexcluded,
					ScimError *err)
{
	Names		a = {attributes, nattributes, NULL};
	Names		e = {excluded, nexcluded, NULL};

	return make_selection(type, &a, &e, err);
}

ScimSelection *
scim_selection_parse(const ScimResourceType *type, const char *attributes, const char *excluded, ScimError *err)
{
	Names		a = {NULL, 0, attributes};
	Names		e = {NULL, 0, excluded};

	return make_selection(type, &a, &e, err);
}

ScimSelection *
scim_selection_all(const ScimResourceType *type, ScimError *err)
{
	ScimSelection *s = new_selection(type, err);

	for (int i = 0; s != NULL && i < type->nattrs; i++)
		s->has[i] = true;
	return s;
}

/* ---- a tree ---- */

/* One value of a complex attribute with the selected subs; NULL: memory. */
static json_t *
project_complex(const ScimAttr *attr, const json_t *value, const ScimSelection *s)
{
	json_t	   *out = scim_json_object();

	for (int i = 0; out != NULL && i < attr->nsubs; i++)
	{
		json_t	   *sub = scim_json_get(value, attr->subs[i]->name, NULL);

		if (!s->has[attr->subs[i]->ord] || scim_json_unassigned(sub))
			continue;
		if (json_object_set_new(out, attr->subs[i]->name, json_deep_copy(sub)) != 0)
			return NULL;
	}
	return out;
}

static json_t *
project_value(const ScimAttr *attr, const json_t *value, const ScimSelection *s)
{
	json_t	   *out;

	if (json_is_object(value) && attr->type == SCIM_TYPE_COMPLEX)
		return project_complex(attr, value, s);
	if (!json_is_array(value))
		return json_deep_copy(value);
	out = json_array();
	for (size_t i = 0; out != NULL && i < json_array_size(value); i++)
	{
		const json_t *element = json_array_get(value, i);
		json_t	   *copy;

		if (scim_json_unassigned(element))
			continue;
		copy = json_is_object(element) && attr->type == SCIM_TYPE_COMPLEX ?
			project_complex(attr, element, s) : json_deep_copy(element);
		if (copy == NULL)
			return NULL;
		/* nothing of this value was asked for */
		if (scim_json_unassigned(copy))
			json_decref(copy);
		else if (json_array_append_new(out, copy) != 0)
			return NULL;
	}
	return out;
}

static bool
project_into(const ScimResourceType *type, const json_t *resource, const ScimSelection *s, json_t *out)
{
	for (int i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];
		const char *uri = attr->ext >= 0 ? type->exts[attr->ext].schema->uri : NULL;
		const json_t *from = uri ? scim_json_get(resource, uri, NULL) : resource;
		json_t	   *to = uri ? json_object_get(out, uri) : out;
		json_t	   *value;

		if (!s->has[attr->ord] || !json_is_object(from))
			continue;
		value = scim_json_get(from, attr->name, NULL);
		if (scim_json_unassigned(value))
			continue;
		value = project_value(attr, value, s);
		if (value == NULL)
			return false;
		if (scim_json_unassigned(value))
		{
			json_decref(value);
			continue;
		}
		if (to == NULL)
		{
			to = scim_json_object();
			if (json_object_set_new(out, uri, to) != 0)
				return false;
		}
		if (json_object_set_new(to, attr->name, value) != 0)
			return false;
	}
	return true;
}

json_t *
scim_project(const ScimResourceType *type, const json_t *resource,
			 const ScimSelection *selection, ScimError *err)
{
	ScimCoreFrame frame;
	json_t	   *out;

	scim_core_enter(&frame);
	out = scim_json_object();
	if (out == NULL || !project_into(type, resource, selection, out))
	{
		out = NULL;
		scim_fail_memory(err);
	}
	scim_core_leave(&frame);
	return out;
}
