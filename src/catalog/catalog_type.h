/*
 * catalog_type.h
 *		Resource types and extensions of users in the built-in store.
 */
#ifndef SCIM_CATALOG_TYPE_H
#define SCIM_CATALOG_TYPE_H

#include "catalog.h"

/*
 * Attributes of a mapping of scim.resources that keeps all of a type, as the
 * text of a JSON object.
 */
extern char *scim_type_own_attributes(const ScimResourceType *type);

/*
 * The same for what a mapping of scim.users or scim.groups has besides: the
 * attributes of the extensions with these URIs, as the registry spells them.
 */
extern char *scim_type_extension_attributes(const ScimResourceType *type, const List *uris);

#endif							/* SCIM_CATALOG_TYPE_H */
