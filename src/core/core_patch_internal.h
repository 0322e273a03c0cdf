/*
 * core_patch_internal.h
 *		What the files of PATCH share, and nobody else sees.
 *
 *	core_patch_parse.c	structure of the request, paths, path-less values split
 *	core_patch_compat.c	what identity providers send, rewritten before that
 *	core_patch.c		the engine: operations on a resource
 *	core_patch_member.c	  one attribute in the object that holds it
 *	core_patch_multi.c	  the values of a multi-valued attribute
 *	core_patch_delta.c	operations on one big attribute as a set difference
 */
#ifndef SCIM_CORE_PATCH_INTERNAL_H
#define SCIM_CORE_PATCH_INTERNAL_H

#include "core_multi.h"
#include "core_patch.h"

#define SCIM_PATCH_PATH_SIZE 256

/* The list of operations under construction. */
typedef struct ScimPatchBuild
{
	const ScimResourceType *type;
	ScimMode	mode;
	ScimReport *report;
	ScimError  *err;
	ScimPatchOp *ops;
	int			nops;
	int			capacity;
} ScimPatchBuild;

/*
 * Fails with "Operations[i]: path "x": text".  "attr" may be NULL; the path is
 * the attribute's, not the client's text.  Returns false.
 */
extern bool scim_patch_fail(ScimError *err, const ScimResourceType *type, int index, const ScimAttr *attr,
							int status, const char *scim_type, const char *fmt,...)
			__attribute__((format(printf, 7, 8)));

/* Passes on an error found below, with the operation in front. */
extern bool scim_patch_pass(ScimError *err, const ScimResourceType *type, int index, const ScimAttr *attr,
							const ScimError *cause);

/* Appends an operation on a whole attribute (or on "path", if given). */
extern bool scim_patch_push(ScimPatchBuild *build, ScimPatchKind kind, int index, ScimPath *path,
							ScimAttr *attr, const json_t *value, bool from_pathless);

/* Splits the value of a path-less operation (or an extension's object). */
extern bool scim_patch_split(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext, const json_t *object);

/* "value" as an array: itself, or a new array of it. NULL: memory is out. */
extern const json_t *scim_patch_as_array(const json_t *value);

/* Normalises values for an attribute; errors name the operation. */
extern json_t *scim_patch_wanted(const ScimResourceType *type, const ScimPatchOp *op, ScimAttr *attr,
								 const json_t *value, ScimMode mode, ScimReport *report, ScimError *err);

/*
 * Compat: the values that a remove lists, as partial values (at least one
 * sub-attribute each); of a reference list only `value` remains.
 */
extern json_t *scim_patch_listed(const ScimResourceType *type, const ScimPatchOp *op, ScimMode mode,
								 ScimReport *report, ScimError *err);

/* The rewrites (core_patch_compat.c); only called in SCIM_COMPAT. */

/* Member names, case of op, missing schemas, empty path: a request in strict shape. */
extern const json_t *scim_patch_compat_request(const json_t *body, ScimReport *report, ScimError *err);

/* A member of a path-less value that is no plain attribute name; pushes what it means. */
extern bool scim_patch_compat_key(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext,
								  const char *key, const json_t *value);

/* A URN alone as path: merge into the extension, or drop it. */
extern bool scim_patch_compat_extension(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext,
										const json_t *value);

/* Flags and value of one parsed operation. */
extern bool scim_patch_compat_op(ScimPatchBuild *build, ScimPatchOp *op);

/* Is "attr" dropped from a path-less value (schemas, readOnly)?  Notes it. */
extern bool scim_patch_compat_ignores(ScimPatchBuild *build, const ScimAttr *attr, const ScimAttr *sub);

/* ---- the engine ---- */

typedef struct ScimPatchApply
{
	const ScimResourceType *type;
	ScimMode	mode;
	ScimReport *report;
	ScimError  *err;
	const json_t *before;
	json_t	   *after;
	const ScimPatchOp *op;		/* the operation at work */
	int		   *unassigned;		/* by ord: index + 1 of the operation that did it */
	bool	   *owned;			/* by ord: the array in "after" is not shared */
	ScimMultiSet set;			/* the values of set_attr, while only add touches it */
	const ScimAttr *set_attr;
} ScimPatchApply;

/* Fail with the operation in front; return false. */
extern bool scim_patch_refuse(ScimPatchApply *a, const ScimAttr *attr, const char *scim_type, const char *text);
extern bool scim_patch_immutable(ScimPatchApply *a, const ScimAttr *attr);

/* Shallow copies; jansson's own hide lack of memory.  NULL: memory is out. */
extern json_t *scim_patch_copy_object(const json_t *object);
extern json_t *scim_patch_copy_array(const json_t *array);

/* Remove an attribute from, or put a normalised value (reference taken over) into, an unshared holder. */
extern bool scim_patch_unassign(ScimPatchApply *a, json_t *holder, const ScimAttr *attr);
extern bool scim_patch_assign(ScimPatchApply *a, json_t *holder, const ScimAttr *attr, json_t *value);

/*
 * A value for a complex attribute that is to be merged: still with its nulls,
 * because a null member unassigns.  NULL: it is no object (error given).
 */
extern const json_t *scim_patch_object_given(ScimPatchApply *a, ScimAttr *attr, const json_t *value);

/* Merges the given sub-attributes into an unshared value. */
extern bool scim_patch_merge_object(ScimPatchApply *a, json_t *target, ScimAttr *attr, ScimPatchKind kind,
									const json_t *object);

/* One attribute in an unshared holder; a sub-attribute of a singular complex attribute. */
extern bool scim_patch_member(ScimPatchApply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind,
							  const json_t *value);
extern bool scim_patch_sub(ScimPatchApply *a, json_t *part, ScimAttr *attr, ScimAttr *sub);

/* A multi-valued attribute as a whole; its values selected by filter or sub-attribute. */
extern bool scim_patch_multi(ScimPatchApply *a, json_t *part, ScimAttr *attr);
extern bool scim_patch_selected(ScimPatchApply *a, json_t *part, ScimAttr *attr);

#endif							/* SCIM_CORE_PATCH_INTERNAL_H */
