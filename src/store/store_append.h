/*
 * store_append.h
 *		Rows added to a table without a statement: for the store, and for what
 *		others write into the extension's own tables.
 */
#ifndef SCIM_STORE_APPEND_H
#define SCIM_STORE_APPEND_H

#include "nodes/execnodes.h"
#include "utils/relcache.h"

/* A table that rows are added to. */
typedef struct ScimAppend ScimAppend;

/* Which of the rows have their triggers (foreign keys among them) fired. */
typedef enum ScimAppendFires
{
	SCIM_FIRE_NONE,
	SCIM_FIRE_FIRST,			/* what they would look at is the same for all */
	SCIM_FIRE_ALL
} ScimAppendFires;

/*
 * Is an INSERT into this open table nothing but defaults, constraints and
 * indexes, as far as its columns and its kind tell?  Triggers and privileges are
 * the caller's to look at.
 */
extern bool scim_append_can(Relation rel);

/* Does anything happen at an INSERT but the check of foreign keys? */
extern bool scim_append_has_triggers(const TriggerDesc *triggers);

/* Begin with a table that is open and locked for writing. */
extern ScimAppend *scim_append_begin(Relation rel, ScimAppendFires fires);

/* A column of the next row; the value has to last until scim_append_end(). */
extern void scim_append_set(ScimAppend *append, AttrNumber attnum, Datum value, bool isnull);

/*
 * The row is complete; other columns have their default.  Rows are stored some at
 * a time, so what is wrong with one may be raised later, at the latest by
 * scim_append_end().
 */
extern void scim_append_row(ScimAppend *append);

/* What a column of the only row so far, which is complete, will hold; false: null. */
extern bool scim_append_value(ScimAppend *append, AttrNumber attnum, Datum *value);

extern void scim_append_end(ScimAppend *append);

/*
 * Between these, tables that rows were added to stay open for the next rows,
 * whatever subtransaction they belong to: they belong to that in which this
 * began.  After an error in a subtransaction that has been rolled back they are to
 * be dropped, because of what was half done.
 */
extern void scim_append_keep_begin(void);
extern void scim_append_keep_drop(void);
extern void scim_append_keep_end(void);

/* The checks of a table, prepared, where the executor would have to read them. */
extern void scim_append_prepare_checks(ResultRelInfo *info, EState *estate);

extern void scim_append_init(void); /* with scim_store_init() */

#endif							/* SCIM_STORE_APPEND_H */
