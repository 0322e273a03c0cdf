/*
 * core_patch.h
 *		PATCH (RFC 7644 3.5.2; requirements sections 16, 17, 31).
 *
 *	body -> scim_patch_parse: [compat rewrites] -> operations (op, path, value)
 *		 -> scim_patch_take_delta: operations on one big multi-valued attribute
 *			become a set difference that needs no stored values
 *		 -> scim_patch_apply: pure engine on a copy of the resource
 */
#ifndef SCIM_CORE_PATCH_H
#define SCIM_CORE_PATCH_H

#include "core_path.h"
#include "core_validate.h"

#define SCIM_PATCH_MAX_OPERATIONS 1000

/* Bytes of a resource after PATCH, without its multi-valued complex attributes. */
#define SCIM_PATCH_MAX_RESOURCE (1024 * 1024)

typedef enum ScimPatchKind
{
	SCIM_PATCH_ADD,
	SCIM_PATCH_REPLACE,
	SCIM_PATCH_REMOVE
} ScimPatchKind;

typedef struct ScimPatchOp
{
	ScimPatchKind kind;
	int			index;			/* of the operation in the request, for messages */
	ScimPath   *path;			/* never NULL after parse: path-less values are split */
	const json_t *value;		/* as sent; NULL if absent */
	bool		from_pathless;	/* came from a path-less value: readOnly is ignored in compat */
	bool		listed_only;	/* compat: remove with a value list removes those */
	bool		may_create;		/* value path that selects nothing creates */
} ScimPatchOp;

typedef struct ScimPatch
{
	ScimPatchOp *ops;
	int			nops;
} ScimPatch;

/* Structure and paths; 400 invalidSyntax / invalidPath / invalidFilter /
 * noTarget / invalidValue naming Operations[i]; 413 over the limit. */
extern ScimPatch *scim_patch_parse(const ScimResourceType *type, const json_t *body, ScimMode mode,
								   ScimReport *report, ScimError *err);

/*
 * Changes of a multi-valued attribute whose values are identified by `value`
 * (members): if every operation on "attr" is an add of values, a remove of
 * listed values or of `attr[value eq "x"]` (also or-ed), a remove of all, or
 * a replace of all, take those operations out of the patch and return true:
 * the outcome is (clear ? {} : stored) - remove + add.  Otherwise leave the
 * patch alone and return false (err filled if it is plainly invalid).
 * "add" holds normalised values, at most one per `value`; "remove" texts.
 */
typedef struct ScimDelta
{
	bool		any;			/* at least one operation was taken */
	bool		clear;			/* forget all stored values first */
	json_t	   *add;			/* array of value objects */
	json_t	   *remove;			/* array of strings */
} ScimDelta;

extern bool scim_patch_take_delta(const ScimResourceType *type, ScimPatch *patch, ScimAttr *attr,
								  ScimMode mode, ScimDelta *delta, ScimReport *report, ScimError *err);

/* Does any operation address this attribute? */
extern bool scim_patch_touches(const ScimPatch *patch, const ScimAttr *attr);

/*
 * Apply all operations to a copy of "resource" (atomic, in order), then
 * scim_resource_check.  *changed: does the state differ (7644 3.5.2)?
 * Errors name Operations[i] and the path; 400 invalidValue where the resource
 * becomes too big.  Parts that no operation touches are shared with "resource".
 */
extern json_t *scim_patch_apply(const ScimResourceType *type, const ScimPatch *patch,
								const json_t *resource, ScimMode mode, bool *changed,
								ScimReport *report, ScimError *err);

#endif							/* SCIM_CORE_PATCH_H */
