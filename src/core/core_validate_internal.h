/*
 * core_validate_internal.h
 *		What the two files of validation share: values (core_validate.c) and
 *		bodies (core_validate_body.c).
 */
#ifndef SCIM_CORE_VALIDATE_INTERNAL_H
#define SCIM_CORE_VALIDATE_INTERNAL_H

#include "core_validate.h"

#define SCIM_WANTED_PATH_SIZE 256

typedef struct ScimWanted
{
	const ScimResourceType *type;
	ScimMode	mode;
	bool		refuse_unknown;
	ScimReport *report;
	ScimError  *err;
} ScimWanted;

/* scim_value_wanted() inside a bracket: a value or array; JSON null where unassigned. */
extern json_t *scim_wanted_value(ScimWanted *w, ScimAttr *attr, const json_t *value);

/* The same for one value, also for an element of a multi-valued attribute. */
extern json_t *scim_wanted_single(ScimWanted *w, ScimAttr *attr, const json_t *value);

/* An attribute that no schema defines: counted as ignored, or refused. */
extern bool scim_wanted_unknown(ScimWanted *w, const ScimAttr *parent, const char *name);

/* At most one value of a multi-valued attribute is primary. */
extern bool scim_check_primary(const ScimResourceType *type, const ScimAttr *attr, const json_t *array, ScimError *err);

#endif							/* SCIM_CORE_VALIDATE_INTERNAL_H */
