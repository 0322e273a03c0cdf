/*
 * provisioner_diff.h
 *		From two states of a resource to the requests between them.
 *
 * A document is a resource as a target should have it: a JSON object with the
 * attributes that the mapping has a source for and clients may write, without
 * id, meta and schemas.
 */
#ifndef SCIM_PROVISIONER_DIFF_H
#define SCIM_PROVISIONER_DIFF_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "provisioner.h"
#include "../core/core_schema.h"

/* What a sync says of one attribute (provisioning-engine 2.1). */
typedef struct ScimAttrRule
{
	ScimSyncApply apply;
	ScimSyncOnNull on_null;
} ScimAttrRule;

typedef struct ScimDiffStyle
{
	const ScimAttrRule *rules;	/* by ord of the type */
	const bool *managed;		/* by ord: attributes that this sync writes */
	List	  **types;			/* by ord: values of a list that are managed, by their `type`; NIL: all */
	bool		remove_by_list; /* members are removed by a list of values, not by a filter */
	bool		pathless;		/* values are given in one operation without a path */
	bool		one_operation;	/* an attribute is changed by one operation */
	bool		whole_lists;	/* a list is replaced, because no path leads to one of its values */
	int			members_per_request;	/* 0: any number */
} ScimDiffStyle;

/*
 * Append PATCH operations (JSON objects, separated by commas) that lead from
 * "from" to "to"; returns how many.  One operation for each attribute, with a
 * path; `active` for itself, `userName` last.  What the sync does not manage is
 * left alone, whatever "from" has of it.  *changed, unless NULL, gets the
 * attributes (const ScimAttr *) that they are about, each once.
 */
extern int	scim_diff_operations(const ScimResourceType *type, const ScimDiffStyle *style,
								 const json_t *from, const json_t *to, StringInfo out, List **changed);

/* Does a value that the row does not have any more stay at the target? */
static inline bool
scim_diff_keeps(const ScimAttrRule *rule)
{
	return rule->on_null == SCIM_NULL_SKIP || rule->apply == SCIM_APPLY_ADD_ONLY;
}

/* {"schemas": [...], "Operations": [...]} round the operations. */
extern void scim_diff_patch_body(const char *operations, StringInfo out);

/* The body of POST: the document with its schemas. */
extern void scim_diff_create_body(const ScimResourceType *type, const json_t *document, StringInfo out);

/* The value at an attribute ("name.formatted", an extension's) in a document, or NULL. */
extern const json_t *scim_document_value(const ScimResourceType *type, const json_t *document, const ScimAttr *attr);

#endif							/* SCIM_PROVISIONER_DIFF_H */
