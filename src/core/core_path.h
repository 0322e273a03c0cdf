/*
 * core_path.h
 *		Attribute paths (RFC 7644 3.5.2, 3.10):
 *			attrPath / valuePath [subAttr], names without case, URN prefixes.
 */
#ifndef SCIM_CORE_PATH_H
#define SCIM_CORE_PATH_H

#include "core_filter.h"

typedef struct ScimPath
{
	int			ext;			/* SCIM_EXT_CORE or extension index */
	ScimAttr   *attr;			/* NULL: the extension's (or core) URN alone */
	ScimFilter *filter;			/* bound value filter, or NULL */
	ScimAttr   *sub;			/* sub-attribute, or NULL */
} ScimPath;

/*
 * Parse and resolve.  400 invalidPath with position: malformed, unknown
 * attribute; 400 invalidFilter: malformed or ill-typed filter in brackets.
 * Compat: an unambiguous bare name of an extension attribute is found too.
 */
extern ScimPath *scim_path_parse(const ScimResourceType *type, const char *text, size_t len,
								 ScimMode mode, ScimError *err);

/*
 * The attribute reference at the start of "text", without brackets: used by
 * attributes=, sortBy, filters.  Returns bytes consumed; 0: unknown name.
 * Sets ext, attr, sub of *path; path->filter is NULL.
 */
extern size_t scim_path_resolve(const ScimResourceType *type, const char *text, size_t len,
								ScimMode mode, ScimPath *path);

#endif							/* SCIM_CORE_PATH_H */
