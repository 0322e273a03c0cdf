/*
 * core_validate.h
 *		What a client sent, held against the schema (RFC 7643 2 and 7, RFC 7644
 *		3.3, 3.5.1): a body becomes the state that is wanted.
 */
#ifndef SCIM_CORE_VALIDATE_H
#define SCIM_CORE_VALIDATE_H

#include "core_value.h"

#define SCIM_REWRITE_KINDS 24	/* there are 22 */

/* What compat has made of a request; all zero to begin with. */
typedef struct ScimReport
{
	int			rewrites;		/* of all kinds */
	int			nkinds;
	struct
	{
		const char *name;		/* static */
		int			count;
	}			kinds[SCIM_REWRITE_KINDS];
	int			ignored;		/* attributes dropped: unknown or readOnly */
} ScimReport;

/* Notes a compat rewrite by its name; report may be NULL. */
extern void scim_report_add(ScimReport *report, const char *name);

/*
 * Body of POST (current == NULL) or PUT (current: the stored resource) ->
 * wanted state: names in the schema's spelling, readOnly and unknown
 * attributes dropped (strict attributes are the caller's wish: unknown is 400
 * invalidSyntax when "refuse_unknown"), unassigned ones dropped, duplicates of
 * (type, value) folded, `schemas` = core + each extension that has data.
 * Compat: string booleans, a complex value given as string or array of one,
 * single value for a multi-valued attribute, extension URN missing in schemas,
 * dotted and URN-qualified keys.  Errors: 400 invalidSyntax (no object,
 * schemas wrong), invalidValue (type, required, two primaries), mutability
 * (immutable changed in PUT).  The result never holds id, meta or readOnly.
 */
extern json_t *scim_resource_wanted(const ScimResourceType *type, const json_t *body,
									const json_t *current, ScimMode mode, bool refuse_unknown,
									ScimReport *report, ScimError *err);

/*
 * One value (or array) for an attribute, as in POST or PATCH -> normalised, a
 * new tree; JSON null where unassigned.  "path" names it in errors.
 */
extern json_t *scim_value_wanted(const ScimResourceType *type, ScimAttr *attr, const json_t *value,
								 ScimMode mode, bool refuse_unknown, ScimReport *report, ScimError *err);

/* Final state after PATCH: required, at most one primary, `schemas` made right
 * in place (core + extensions with data or required). */
extern bool scim_resource_check(const ScimResourceType *type, json_t *resource, ScimError *err);

/*
 * A name that a client sent, fit for an error text: attribute characters only
 * and not too long, otherwise a neutral word.
 */
#define SCIM_SAFE_NAME_SIZE 128
extern const char *scim_safe_name(const char *name, char *buf, size_t size);

#endif							/* SCIM_CORE_VALIDATE_H */
