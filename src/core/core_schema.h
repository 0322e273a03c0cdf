/*
 * core_schema.h
 *		Attribute schemas and resource types in memory (RFC 7643 2, 6, 7).
 *
 *	registry
 *	  schemas[]				as defined: URI, name, attributes
 *	  types[]				resource types
 *		attrs[]				flat, one per attribute and sub-attribute, own copy:
 *			ord				position in attrs[]; selections are bit sets over it
 *			subs[]			pointers into attrs[]
 *
 * A resource type owns copies of the attributes of its schemas, because a
 * mapping may lack some of them or enforce more (required, uniqueness).
 * Names are never compared by pointer: use the look-up functions, which
 * disregard ASCII case.  Everything is allocated in the context current when
 * the registry was made, and never changes afterwards.
 */
#ifndef SCIM_CORE_SCHEMA_H
#define SCIM_CORE_SCHEMA_H

#include "core_json.h"

#define SCIM_URN_USER "urn:ietf:params:scim:schemas:core:2.0:User"
#define SCIM_URN_GROUP "urn:ietf:params:scim:schemas:core:2.0:Group"
#define SCIM_URN_ENTERPRISE_USER "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
#define SCIM_URN_SERVICE_PROVIDER_CONFIG "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
#define SCIM_URN_RESOURCE_TYPE "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
#define SCIM_URN_SCHEMA "urn:ietf:params:scim:schemas:core:2.0:Schema"
#define SCIM_URN_LIST_RESPONSE "urn:ietf:params:scim:api:messages:2.0:ListResponse"
#define SCIM_URN_ERROR "urn:ietf:params:scim:api:messages:2.0:Error"
#define SCIM_URN_PATCH_OP "urn:ietf:params:scim:api:messages:2.0:PatchOp"
#define SCIM_URN_SEARCH_REQUEST "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
#define SCIM_URN_BULK_REQUEST "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
#define SCIM_URN_BULK_RESPONSE "urn:ietf:params:scim:api:messages:2.0:BulkResponse"

typedef enum ScimType
{
	SCIM_TYPE_STRING,
	SCIM_TYPE_BOOLEAN,
	SCIM_TYPE_DECIMAL,
	SCIM_TYPE_INTEGER,
	SCIM_TYPE_DATETIME,
	SCIM_TYPE_REFERENCE,
	SCIM_TYPE_BINARY,
	SCIM_TYPE_COMPLEX
} ScimType;

typedef enum ScimMutability
{
	SCIM_READ_WRITE,
	SCIM_READ_ONLY,
	SCIM_IMMUTABLE,
	SCIM_WRITE_ONLY
} ScimMutability;

typedef enum ScimReturned
{
	SCIM_RETURNED_DEFAULT,
	SCIM_RETURNED_ALWAYS,
	SCIM_RETURNED_NEVER,
	SCIM_RETURNED_REQUEST
} ScimReturned;

typedef enum ScimUniqueness
{
	SCIM_UNIQUE_NONE,
	SCIM_UNIQUE_SERVER,
	SCIM_UNIQUE_GLOBAL
} ScimUniqueness;

/* Where a top-level attribute lives in the resource. */
#define SCIM_EXT_CORE	(-1)	/* common attributes and those of the core schema */

typedef struct ScimAttr
{
	const char *name;			/* spelling of the schema */
	const char *description;
	int			ord;			/* index in ScimResourceType.attrs; -1 in a ScimSchema */
	int			ext;			/* SCIM_EXT_CORE, or index in ScimResourceType.exts */
	bool		common;			/* schemas, id, externalId, meta and meta.* */
	struct ScimAttr *parent;	/* NULL for a top-level attribute */
	struct ScimAttr **subs;		/* sub-attributes of a complex attribute */
	int			nsubs;
	ScimType	type;
	bool		multi;			/* multiValued */
	bool		required;
	bool		case_exact;		/* always true for reference and binary */
	ScimMutability mutability;
	ScimReturned returned;
	ScimUniqueness uniqueness;
	const char **canonical;		/* canonicalValues */
	int			ncanonical;
	const char **ref_types;		/* referenceTypes */
	int			nref_types;
} ScimAttr;

typedef struct ScimSchema
{
	const char *uri;
	const char *name;
	const char *description;
	ScimAttr  **attrs;			/* top-level attributes */
	int			nattrs;
	bool		builtin;		/* one of the standard schemas */
} ScimSchema;

typedef struct ScimExtension
{
	const ScimSchema *schema;
	bool		required;
} ScimExtension;

typedef struct ScimResourceType
{
	const char *name;			/* "User" */
	const char *endpoint;		/* "/Users" */
	const char *description;
	const ScimSchema *schema;	/* core schema */
	ScimExtension *exts;
	int			nexts;
	ScimAttr  **attrs;			/* all, by ord; parents before their subs */
	int			nattrs;
	ScimAttr  **top;			/* top-level: common, then core, then by extension */
	int			ntop;
	/* the common attributes, for direct use; never NULL */
	ScimAttr   *a_schemas;
	ScimAttr   *a_id;
	ScimAttr   *a_external_id;	/* NULL if dropped by "keep" */
	ScimAttr   *a_meta;
	const struct ScimResourceType *wider;	/* the type with the attributes that "keep" has dropped, or NULL */
} ScimResourceType;

typedef struct ScimRegistry ScimRegistry;

#define SCIM_SCHEMA_MAX_ATTRS 2000	/* of a schema; sub-attributes of an attribute */

/* With the six standard schemas; NULL and err: memory is out. */
extern ScimRegistry *scim_registry_create(ScimError *err);

/*
 * Adds a schema given as a Schema resource (RFC 7643 7).  400 invalidValue
 * names what is wrong: id, a name (7643 2.1: ALPHA *("$"/"-"/"_"/DIGIT/ALPHA)),
 * complex inside complex (of all schemas only the Schema schema has it), an
 * unknown characteristic value, a duplicate.
 */
extern bool scim_registry_add_schema(ScimRegistry *registry, const json_t *definition, ScimError *err);

/* NULL if unknown; URIs compare without case. */
extern const ScimSchema *scim_registry_schema(const ScimRegistry *registry, const char *uri, size_t len);
extern int	scim_registry_nschemas(const ScimRegistry *registry);
extern const ScimSchema *scim_registry_schema_at(const ScimRegistry *registry, int i);

/* Chooses attributes (and sub-attributes) of a type; NULL keeps all. */
typedef bool (*ScimKeepAttr) (const ScimAttr *attr, void *arg);

/*
 * Makes a resource type from schemas of the registry.  "exts" may be NULL.
 * The type is allocated apart from the registry and not linked into it.
 * Attributes of the core schema that are named like a common attribute are that.
 * An extension of which "keep" leaves nothing is dropped.  In "keep", attr is
 * the attribute of the schema (parent and name set; ord is -1), ext is its
 * place in "exts".
 */
extern ScimResourceType *scim_resource_type_make(const ScimRegistry *registry,
												 const char *name, const char *endpoint, const char *description,
												 const char *schema_uri,
												 const ScimExtension *exts, int nexts,
												 ScimKeepAttr keep, void *arg, ScimError *err);

/* Standard User (with EnterpriseUser) and Group, all attributes. */
extern ScimResourceType *scim_resource_type_standard(const ScimRegistry *registry, const char *name, ScimError *err);

/* Look-ups without case; NULL if unknown. */
extern ScimAttr *scim_type_attr(const ScimResourceType *type, int ext, const char *name, size_t len);
extern ScimAttr *scim_attr_sub(const ScimAttr *attr, const char *name, size_t len);

/*
 * The longest schema URI of the type that "text" begins with, followed by ":"
 * or the end.  Returns the length of the URI (0: none) and sets *ext
 * (SCIM_EXT_CORE for the core schema).
 */
extern size_t scim_type_match_uri(const ScimResourceType *type, const char *text, size_t len, int *ext);

/* "name.givenName", "urn:...:User:manager.value": full path for messages. */
extern const char *scim_attr_path(const ScimResourceType *type, const ScimAttr *attr, char *buf, size_t size);

/* The object that holds the type's top-level attributes of "ext" in "resource". */
extern json_t *scim_resource_part(const ScimResourceType *type, const json_t *resource, int ext);

/*
 * The Schema resource, as JSON, for a schema as this type exposes it (only the
 * kept attributes), or for a plain schema when type is NULL.  meta.location
 * is base_url + "/Schemas/" + uri.
 */
extern json_t *scim_schema_resource(const ScimResourceType *type, const ScimSchema *schema, const char *base_url);

extern const char *scim_type_name(ScimType type);
extern const char *scim_mutability_name(ScimMutability m);
extern const char *scim_returned_name(ScimReturned r);
extern const char *scim_uniqueness_name(ScimUniqueness u);

#endif							/* SCIM_CORE_SCHEMA_H */
