/*
 * provisioner_internal.h
 *		What files of this folder share and nobody else sees.
 */
#ifndef SCIM_PROVISIONER_INTERNAL_H
#define SCIM_PROVISIONER_INTERNAL_H

#include "fmgr.h"

#include "provisioner.h"
#include "../catalog/catalog_mapping.h"

/*
 * Parse the attributes of a sync (JSON text).  Raises 22023, naming sync and
 * attribute; with "type", also for paths that it does not have.
 */
extern void scim_sync_parse_attributes(ScimSync *sync, const char *json, const ScimResourceType *type);

/*
 * The sync that the first argument of an SQL function names; 42704, 42501 unless
 * the caller is a member of its owner.  Needs SPI and the catalog.
 */
extern ScimSync *scim_sync_of_caller(FunctionCallInfo fcinfo);

/* The options of a sync (JSON text).  Raises 22023, naming sync and option. */
extern void scim_sync_parse_options(ScimSync *sync, const char *json);

/* Flags of an array of action names; raises 22023. */
extern int	scim_sync_parse_actions(Datum array);

/*
 * Write scim._captures anew for a sync (NULL: for a mapping that is tracked),
 * and put the triggers on the relations that it names; takes ShareRowExclusiveLock on them.  As the mapping's owner
 * the scope is checked (22023, 42703, ...); 42501 if the owner has no TRIGGER
 * privilege.  "notice": say which relations can't be captured.
 */
extern void scim_capture_attach(const ScimSync *sync, ScimMappingRow *row, bool notice);

/* Delete the rows of scim._captures that are for a sync (NULL: for a mapping). */
extern void scim_capture_forget(const ScimSync *sync, const ScimMappingRow *row);

/* Is there a foreign table among a relation's parents, children, siblings? */
extern bool scim_capture_by_row(Oid relid);

/*
 * Give a relation the triggers it needs, and no others of ours; "by_row": as
 * scim_capture_by_row() says.  Takes ShareRowExclusiveLock if one is missing,
 * AccessExclusiveLock to remove one.  Needs SPI to be connected.
 */
extern void scim_capture_put_triggers(Oid relid, bool by_row);

/* Remove the triggers from relations that nothing watches any more. */
extern void scim_capture_detach_unused(void);

/*
 * Begin, renew or end what is captured for a mapping itself, as its option
 * "track" says (provisioner_track.c).  True: there is or was something.
 */
extern bool scim_track_renew(ScimMappingRow *row);

/* Rows of a tracked mapping may have changed unseen: all have another version. */
extern void scim_track_all(ScimMappingRow *row);

#endif							/* SCIM_PROVISIONER_INTERNAL_H */
