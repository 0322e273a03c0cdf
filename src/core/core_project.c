/*
 * core_project.c
 *		Which attributes an answer holds (RFC 7644 3.9, RFC 7643 7 "returned").
 */
#include <string.h>

#include "core_project.h"

static void
select_attr(ScimSelection *s, const ScimAttr *attr, bool with_request)
{
	s->has[attr->ord] = true;
	if (attr->parent)
		s->has[attr->parent->ord] = true;
	for (int i = 0; i < attr->nsubs; i++)
		if (attr->subs[i]->returned != SCIM_RETURNED_REQUEST || with_request)
			s->has[attr->subs[i]->ord] = true;
}

static void
unselect_attr(ScimSelection *s, const ScimAttr *attr)
{
	bool		any = false;

	s->has[attr->ord] = false;
	for (int i = 0; i < attr->nsubs; i++)
		s->has[attr->subs[i]->ord] = false;
	if (attr->parent == NULL)
		return;
	/* nothing left of the parent: nothing of it is in the answer */
	for (int i = 0; i < attr->parent->nsubs; i++)
		any = any || s->has[attr->parent->subs[i]->ord];
	if (!any)
		s->has[attr->parent->ord] = false;
}

/* Apply one name; unknown ones are ignored (R-7644-3.9-05). */
static void
apply_name(ScimSelection *s, const ScimResourceType *type, const char *name, size_t len, bool include)
{
	ScimPath	path;

	while (len > 0 && (*name == ' ' || *name == '\t'))
	{
		name++;
		len--;
	}
	while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
		len--;
	if (len == 0 || scim_path_resolve(type, name, len, SCIM_COMPAT, &path) != len)
		return;
	for (int i = 0; i < type->nattrs; i++)
	{
		const ScimAttr *attr = type->attrs[i];
		const ScimAttr *leaf = path.sub ? path.sub : path.attr;

		/* a URN alone names all attributes of its schema */
		if (path.attr == NULL ? (attr->parent != NULL || attr->common || attr->ext != path.ext) : attr != leaf)
			continue;
		if (include)
			select_attr(s, attr, path.attr != NULL);
		else
			unselect_attr(s, attr);
	}
}

/* returned always is in, never is out, whatever was asked for. */
static void
apply_returned(ScimSelection *s, const ScimResourceType *type)
{
	for (int i = 0; i < type->nattrs; i++)
	{
		const ScimAttr *attr = type->attrs[i];

		if (attr->returned == SCIM_RETURNED_NEVER)
			unselect_attr(s, attr);
		else if (attr->returned == SCIM_RETURNED_ALWAYS && attr->parent == NULL)
			select_attr(s, attr, false);
		/* an always-returned sub-attribute comes with its parent */
		else if (attr->returned == SCIM_RETURNED_ALWAYS && s->has[attr->parent->ord])
			s->has[attr->ord] = true;
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

static void
select_default(ScimSelection *s, const ScimResourceType *type)
{
	for (int i = 0; i < type->nattrs; i++)
	{
		const ScimAttr *attr = type->attrs[i];

		s->has[i] = attr->returned != SCIM_RETURNED_REQUEST && attr->returned != SCIM_RETURNED_NEVER &&
			(attr->parent == NULL || s->has[attr->parent->ord]);
	}
}

static ScimSelection *
both_given(ScimError *err)
{
	scim_fail(err, 400, SCIM_INVALID_VALUE, "attributes and excludedAttributes exclude each other");
	return NULL;
}

ScimSelection *
scim_selection_make(const ScimResourceType *type,
					const char *const *attributes, int nattributes,
					const char *const *excluded, int nexcluded,
					ScimError *err)
{
	ScimSelection *s;

	if (nattributes > 0 && nexcluded > 0)
		return both_given(err);
	s = new_selection(type, err);
	if (s == NULL)
		return NULL;
	s->is_default = nattributes == 0 && nexcluded == 0;
	if (nattributes == 0)
		select_default(s, type);
	for (int i = 0; i < nattributes; i++)
		apply_name(s, type, attributes[i], strlen(attributes[i]), true);
	for (int i = 0; i < nexcluded; i++)
		apply_name(s, type, excluded[i], strlen(excluded[i]), false);
	apply_returned(s, type);
	return s;
}

static void
apply_list(ScimSelection *s, const ScimResourceType *type, const char *list, bool include)
{
	while (*list)
	{
		size_t		len = strcspn(list, ",");

		apply_name(s, type, list, len, include);
		list += len + (list[len] == ',');
	}
}

ScimSelection *
scim_selection_parse(const ScimResourceType *type, const char *attributes, const char *excluded, ScimError *err)
{
	ScimSelection *s;

	if (attributes && excluded)
		return both_given(err);
	s = new_selection(type, err);
	if (s == NULL)
		return NULL;
	s->is_default = attributes == NULL && excluded == NULL;
	if (attributes == NULL)
		select_default(s, type);
	else
		apply_list(s, type, attributes, true);
	if (excluded)
		apply_list(s, type, excluded, false);
	apply_returned(s, type);
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

		if (sub == NULL || !s->has[attr->subs[i]->ord])
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

	if (attr->type != SCIM_TYPE_COMPLEX)
		return json_deep_copy(value);
	if (!json_is_array(value))
		return json_is_object(value) ? project_complex(attr, value, s) : json_deep_copy(value);
	out = json_array();
	for (size_t i = 0; out != NULL && i < json_array_size(value); i++)
	{
		const json_t *element = json_array_get(value, i);

		if (json_array_append_new(out, json_is_object(element) ? project_complex(attr, element, s) :
								  json_deep_copy(element)) != 0)
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
		const json_t *from = resource;
		json_t	   *to = out;
		const json_t *value;

		if (!s->has[attr->ord])
			continue;
		if (attr->ext >= 0)
		{
			const char *uri = type->exts[attr->ext].schema->uri;

			from = scim_json_get(resource, uri, NULL);
			if (!json_is_object(from))
				continue;
			value = scim_json_get(from, attr->name, NULL);
			if (scim_json_unassigned(value))
				continue;
			if (json_object_get(out, uri) == NULL && json_object_set_new(out, uri, scim_json_object()) != 0)
				return false;
			to = json_object_get(out, uri);
		}
		value = scim_json_get(from, attr->name, NULL);
		if (scim_json_unassigned(value))
			continue;
		if (json_object_set_new(to, attr->name, project_value(attr, value, s)) != 0)
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
