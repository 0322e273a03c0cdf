/*
 * core_project.h
 *		attributes and excludedAttributes (RFC 7644 3.4.2.5, 3.9; RFC 7643 7
 *		"returned"): which attributes of a type are in an answer.
 */
#ifndef SCIM_CORE_PROJECT_H
#define SCIM_CORE_PROJECT_H

#include "core_path.h"

typedef struct ScimSelection
{
	bool		is_default;		/* neither parameter was given */
	int			nattrs;
	bool		has[];			/* by ord: for a complex attribute, any of its subs */
} ScimSelection;

/*
 * Lists of names; NULL and 0 when absent, as is a list that names nothing.
 * Unknown names are ignored; both lists together are 400 invalidValue.
 * returned "always" is in, "never" out.  The selection of a sub-attribute
 * selects its parent; of a complex attribute all its subs with returned
 * default/always, of a URN likewise all attributes of the schema.  A
 * sub-attribute with returned "always" comes with its parent.
 */
extern ScimSelection *scim_selection_make(const ScimResourceType *type,
										  const char *const *attributes, int nattributes,
										  const char *const *excluded, int nexcluded,
										  ScimError *err);

/* Everything, also what is never returned: for copies that are not answers. */
extern ScimSelection *scim_selection_all(const ScimResourceType *type, ScimError *err);

/* From comma-separated texts (query parameters); NULL text: absent. */
extern ScimSelection *scim_selection_parse(const ScimResourceType *type,
										   const char *attributes, const char *excluded, ScimError *err);

/*
 * A new tree with the selected attributes of a resource, names in the schema's
 * spelling.  Unassigned values, and members that the type does not know, are
 * left out.
 */
extern json_t *scim_project(const ScimResourceType *type, const json_t *resource,
							const ScimSelection *selection, ScimError *err);

#endif							/* SCIM_CORE_PROJECT_H */
