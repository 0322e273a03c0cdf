/*
 * catalog_server_internal.h
 *		Options of servers, between the catalog_server*.c files.
 */
#ifndef SCIM_CATALOG_SERVER_INTERNAL_H
#define SCIM_CATALOG_SERVER_INTERNAL_H

#include "catalog_server.h"

/* Value of an option that leaves it to the target to show. */
#define SCIM_ASK "ask"

/* Where a setting of a server comes from. */
typedef struct ScimServerSetting
{
	const char *name;
	const char *value;
	const char *source;			/* "option", "learned", "profile", "default" */
} ScimServerSetting;

/*
 * What the options (DefElems) of a server come to; in the current memory
 * context.  "name": of the server, for what was learned of it; NULL: nothing.
 * "settings", if not NULL, gets a ScimServerSetting for each capability and
 * limit.  Raises HV00D, HV024, HV00J, each naming the option.
 */
extern ScimServer *scim_server_resolve(const char *name, List *options, List **settings);

/* What was learned of the server at an origin, as DefElems of strings. */
extern List *scim_server_learned(const char *name, const char *origin);

#endif							/* SCIM_CATALOG_SERVER_INTERNAL_H */
