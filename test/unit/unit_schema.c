/*
 * unit_schema.c
 *		The registry against schemas.json, definitions that are refused,
 *		resource types, look-ups, Schema resources, lack of memory.
 */
#include "unit.h"
#include "unit_world.h"

#include "core_fold.h"
#include "core_schema.h"

static ScimRegistry *
registry_make(void)
{
	ScimError	err;
	ScimRegistry *registry;

	memset(&err, 0, sizeof(err));
	registry = scim_registry_create(&err);
	unit_check(registry != NULL, "%s", err.detail);
	return registry;
}

/* ---- the standard schemas ---- */

/* A definition of schemas.json as it is served: every characteristic is there. */
static json_t *
completed(const json_t *definition)
{
	static const char *const copied[] = {"name", "type", "description", "canonicalValues", "referenceTypes"};
	json_t	   *o = json_pack("{}");
	const char *type = json_string_value(json_object_get(definition, "type"));
	bool		exact = strcmp(type, "reference") == 0 || strcmp(type, "binary") == 0;
	json_t	   *subs;

	for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		if (json_array_size(json_object_get(definition, copied[i])) > 0 || json_is_string(json_object_get(definition, copied[i])))
			json_object_set(o, copied[i], json_object_get(definition, copied[i]));
	if (json_object_get(o, "description") == NULL)
		json_object_set_new(o, "description", json_string(""));
	json_object_set_new(o, "multiValued", json_boolean(json_is_true(json_object_get(definition, "multiValued"))));
	json_object_set_new(o, "required", json_boolean(json_is_true(json_object_get(definition, "required"))));
	json_object_set_new(o, "mutability", json_object_get(definition, "mutability") ?
						json_incref(json_object_get(definition, "mutability")) : json_string("readWrite"));
	json_object_set_new(o, "returned", json_object_get(definition, "returned") ?
						json_incref(json_object_get(definition, "returned")) : json_string("default"));
	if (strcmp(type, "complex") != 0 && strcmp(type, "boolean") != 0)
	{
		json_object_set_new(o, "caseExact", json_boolean(exact || json_is_true(json_object_get(definition, "caseExact"))));
		json_object_set_new(o, "uniqueness", json_object_get(definition, "uniqueness") ?
							json_incref(json_object_get(definition, "uniqueness")) : json_string("none"));
	}
	if (strcmp(type, "complex") != 0)
		return o;
	subs = json_array();
	for (size_t i = 0; i < json_array_size(json_object_get(definition, "subAttributes")); i++)
		json_array_append_new(subs, completed(json_array_get(json_object_get(definition, "subAttributes"), i)));
	json_object_set_new(o, "subAttributes", subs);
	return o;
}

static void
test_standard(void)
{
	ScimRegistry *registry = registry_make();
	json_t	   *file = unit_load_json("schemas.json");
	json_t	   *schemas = json_object_get(file, "schemas");

	unit_check(scim_registry_nschemas(registry) == (int) json_array_size(schemas) && json_array_size(schemas) == 6, "%d schemas",
			   scim_registry_nschemas(registry));
	for (size_t i = 0; i < json_array_size(schemas); i++)
	{
		const json_t *wanted = json_array_get(schemas, i);
		const char *uri = json_string_value(json_object_get(wanted, "id"));
		const ScimSchema *schema = scim_registry_schema(registry, uri, strlen(uri));
		const json_t *attributes = json_object_get(wanted, "attributes");
		json_t	   *resource;
		char		location[200];

		unit_check(schema != NULL && schema->builtin && scim_registry_schema_at(registry, (int) i) == schema, "%s", uri);
		if (schema == NULL)
			continue;
		resource = scim_schema_resource(NULL, schema, "https://x/scim");
		snprintf(location, sizeof(location), "https://x/scim/Schemas/%s", uri);
		unit_check(json_equal(json_object_get(resource, "id"), json_object_get(wanted, "id")) &&
				   json_equal(json_object_get(resource, "name"), json_object_get(wanted, "name")) &&
				   json_equal(json_object_get(resource, "description"), json_object_get(wanted, "description")), "%s", uri);
		unit_check(strcmp(json_string_value(json_object_get(json_object_get(resource, "meta"), "location")), location) == 0 &&
				   strcmp(json_string_value(json_object_get(json_object_get(resource, "meta"), "resourceType")), "Schema") == 0 &&
				   strcmp(json_string_value(json_array_get(json_object_get(resource, "schemas"), 0)), SCIM_URN_SCHEMA) == 0,
				   "%s: %s", uri, json_string_value(json_object_get(json_object_get(resource, "meta"), "location")));
		unit_check(json_array_size(json_object_get(resource, "attributes")) == json_array_size(attributes), "%s", uri);
		for (size_t k = 0; k < json_array_size(attributes); k++)
		{
			json_t	   *expected = completed(json_array_get(attributes, k));
			json_t	   *got = json_array_get(json_object_get(resource, "attributes"), k);
			char	   *text = json_dumps(got, JSON_COMPACT);

			unit_check(json_equal(expected, got), "%s: %s", uri, text);
			unit_free(text);
			json_decref(expected);
		}
	}
	json_decref(file);
	scim_arena_reset();
}

/* What the RFCs with their errata say, apart from the file. */
static void
test_characteristics(void)
{
	static const struct
	{
		const char *type;
		const char *uri;		/* of the extension, or NULL */
		const char *path;
		const char *is;			/* type, multi, required, exact, mutability, returned, uniqueness */
	}			cases[] = {
		{"User", NULL, "schemas", "string multi required readWrite always none"},
		{"User", NULL, "id", "string required exact readOnly always server"},
		{"User", NULL, "externalId", "string exact readWrite default none"},
		{"User", NULL, "meta", "complex readOnly default none"},
		{"User", NULL, "meta.created", "dateTime readOnly default none"},
		{"User", NULL, "meta.version", "string exact readOnly default none"},
		{"User", NULL, "meta.location", "reference exact readOnly default none"},
		{"User", NULL, "userName", "string required readWrite default server"},
		{"User", NULL, "active", "boolean readWrite default none"},
		{"User", NULL, "password", "string writeOnly never none"},
		{"User", NULL, "profileUrl", "reference exact readWrite default none"},
		{"User", NULL, "emails", "complex multi readWrite default none"},
		{"User", NULL, "emails.primary", "boolean readWrite default none"},
		{"User", NULL, "groups", "complex multi readOnly default none"},
		{"User", NULL, "groups.value", "string readOnly default none"},
		{"User", NULL, "addresses.primary", "boolean readWrite default none"},
		{"User", NULL, "x509Certificates.value", "binary exact readWrite default none"},
		{"User", SCIM_URN_ENTERPRISE_USER, "employeeNumber", "string readWrite default none"},
		{"User", SCIM_URN_ENTERPRISE_USER, "manager.value", "string exact readWrite default none"},
		{"User", SCIM_URN_ENTERPRISE_USER, "manager.displayName", "string readOnly default none"},
		{"Group", NULL, "displayName", "string required readWrite default none"},
		{"Group", NULL, "members", "complex multi readWrite default none"},
		{"Group", NULL, "members.value", "string immutable default none"},
		{"Group", NULL, "members.$ref", "reference exact immutable default none"},
	};
	ScimRegistry *registry = registry_make();
	ScimError	err;

	memset(&err, 0, sizeof(err));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ScimResourceType *type = scim_resource_type_standard(registry, cases[i].type, &err);
		const char *dot = strchr(cases[i].path, '.');
		size_t		len = dot ? (size_t) (dot - cases[i].path) : strlen(cases[i].path);
		ScimAttr   *attr = scim_type_attr(type, cases[i].uri ? 0 : SCIM_EXT_CORE, cases[i].path, len);
		char		is[200];

		if (attr != NULL && dot != NULL)
			attr = scim_attr_sub(attr, dot + 1, strlen(dot + 1));
		unit_check(attr != NULL, "%s", cases[i].path);
		if (attr == NULL)
			continue;
		snprintf(is, sizeof(is), "%s%s%s%s %s %s %s", scim_type_name(attr->type), attr->multi ? " multi" : "",
				 attr->required ? " required" : "", attr->case_exact ? " exact" : "", scim_mutability_name(attr->mutability),
				 scim_returned_name(attr->returned), scim_uniqueness_name(attr->uniqueness));
		unit_check(strcmp(is, cases[i].is) == 0, "%s %s: %s", cases[i].type, cases[i].path, is);
	}
	scim_arena_reset();
}

/* ---- definitions ---- */

#define START "{\"id\":\"urn:x:S\",\"attributes\":["
#define END "]}"

static void
refused(ScimRegistry *registry, const char *definition, const char *detail)
{
	ScimError	err;
	int			before = scim_registry_nschemas(registry);

	memset(&err, 0, sizeof(err));
	unit_check(!scim_registry_add_schema(registry, unit_parse_core(definition), &err) && err.status == 400 &&
			   err.scim_type != NULL && strcmp(err.scim_type, SCIM_INVALID_VALUE) == 0 && strstr(err.detail, detail) != NULL &&
			   scim_utf8_valid(err.detail, strlen(err.detail), NULL),
			   "%.120s: %d %s", definition, err.status, err.detail);
	unit_check(scim_registry_nschemas(registry) == before, "%.120s: nothing of it stays", definition);
}

static void
test_refused(void)
{
	ScimRegistry *registry = registry_make();
	char		text[1000];

	refused(registry, "[]", "JSON object");
	refused(registry, "{}", "id");
	refused(registry, "{\"id\":1,\"attributes\":[]}", "id");
	refused(registry, "{\"id\":\"x\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"urn:\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"urn:a:\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"urn:a b\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"urn:a:\\u00e9\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"https://a/b\",\"attributes\":[]}", "URN");
	refused(registry, "{\"id\":\"urn:a:b\"}", "attributes");
	refused(registry, "{\"id\":\"urn:a:b\",\"attributes\":{}}", "attributes");
	refused(registry, "{\"id\":\"URN:ietf:params:scim:schemas:core:2.0:USER\",\"attributes\":[]}", "exists already");
	refused(registry, "{\"id\":\"urn:a:b\",\"name\":1,\"attributes\":[]}", "text");

	refused(registry, START "1" END, "needs a name");
	refused(registry, START "{}" END, "needs a name");
	refused(registry, START "{\"name\":1}" END, "something else");
	refused(registry, START "{\"name\":\"\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"1a\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"a.b\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"a:b\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"a b\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"\\u00e9\"}" END, "needs a name");
	refused(registry, START "{\"name\":\"$id\"}" END, "needs a name");
	for (int shift = 0; shift < 3; shift++)
	{
		/* the message is cut within the name */
		strcpy(text, START "{\"name\":\"aaa");
		text[strlen(text) - shift] = '\0';
		for (int i = 0; i < 60; i++)
			strcat(text, "\xe3\x81\x82");
		strcat(text, "\"}" END);
		refused(registry, text, "needs a name");
	}
	sprintf(text, START "{\"name\":\"%0*d\"}" END, 201, 0);
	text[strlen(START) + 9] = 'a';
	refused(registry, text, "needs a name");

	refused(registry, START "{\"name\":\"a\"},{\"name\":\"A\"}" END, "twice");
	refused(registry, START "{\"name\":\"a\",\"type\":\"text\"}" END, "\"type\"");
	refused(registry, START "{\"name\":\"a\",\"type\":1}" END, "\"type\"");
	refused(registry, START "{\"name\":\"a\",\"mutability\":\"never\"}" END, "\"mutability\"");
	refused(registry, START "{\"name\":\"a\",\"returned\":\"sometimes\"}" END, "\"returned\"");
	refused(registry, START "{\"name\":\"a\",\"uniqueness\":true}" END, "\"uniqueness\"");
	refused(registry, START "{\"name\":\"a\",\"multiValued\":\"true\"}" END, "boolean");
	refused(registry, START "{\"name\":\"a\",\"required\":1}" END, "boolean");
	refused(registry, START "{\"name\":\"a\",\"caseExact\":{}}" END, "boolean");
	refused(registry, START "{\"name\":\"a\",\"description\":[]}" END, "text");
	refused(registry, START "{\"name\":\"a\",\"canonicalValues\":\"x\"}" END, "arrays of strings");
	refused(registry, START "{\"name\":\"a\",\"canonicalValues\":[1]}" END, "arrays of strings");
	refused(registry, START "{\"name\":\"a\",\"referenceTypes\":[null]}" END, "arrays of strings");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\"}" END, "needs subAttributes");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\",\"subAttributes\":[]}" END, "needs subAttributes");
	refused(registry, START "{\"name\":\"a\",\"subAttributes\":[{\"name\":\"b\"}]}" END, "only a complex");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"b\"},{\"name\":\"B\"}]}" END, "twice");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"b\",\"type\":\"complex\","
			"\"subAttributes\":[{\"name\":\"c\"}]}]}" END, "must not be complex");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"primary\"}]}" END, "boolean");
	refused(registry, START "{\"name\":\"a\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"PRIMARY\",\"type\":\"boolean\","
			"\"multiValued\":true}]}" END, "single boolean");
	for (int n = SCIM_SCHEMA_MAX_ATTRS + 1; n >= SCIM_SCHEMA_MAX_ATTRS; n--)
	{
		char	   *many = malloc(64 + 20 * (size_t) n);
		size_t		len = (size_t) sprintf(many, START);
		ScimError	err;

		for (int i = 0; i < n; i++)
			len += (size_t) sprintf(many + len, "%s{\"name\":\"a%d\"}", i ? "," : "", i);
		strcpy(many + len, END);
		memset(&err, 0, sizeof(err));
		if (n > SCIM_SCHEMA_MAX_ATTRS)
			refused(registry, many, "at most");
		else
			unit_check(scim_registry_add_schema(registry, unit_parse_core(many), &err), "%d attributes: %s", n, err.detail);
		free(many);
	}
	scim_arena_reset();
}

static void
test_accepted(void)
{
	ScimRegistry *registry = registry_make();
	ScimError	err;
	const ScimSchema *schema;
	const ScimAttr *a;
	char		text[300];

	memset(&err, 0, sizeof(err));
	unit_check(scim_registry_add_schema(registry, unit_parse_core(
			   "{\"ID\":\"urn:x:S\",\"Attributes\":[{\"Name\":\"a-b_c$1\",\"TYPE\":\"String\",\"multiValued\":null,"
			   "\"canonicalValues\":[\"x\",\"Y\"],\"mutability\":\"IMMUTABLE\",\"subAttributes\":[],\"unknown\":{}},"
			   "{\"name\":\"link\",\"type\":\"reference\",\"caseExact\":false,\"referenceTypes\":[\"User\",\"external\"]},"
			   "{\"name\":\"blob\",\"type\":\"binary\"},{\"name\":\"c\",\"type\":\"complex\",\"multiValued\":true,"
			   "\"subAttributes\":[{\"name\":\"$ref\",\"type\":\"reference\"},{\"name\":\"primary\",\"type\":\"boolean\"}]}]}"), &err),
			   "%s", err.detail);
	schema = scim_registry_schema(registry, "URN:X:s", 7);
	unit_check(schema != NULL && !schema->builtin && schema->nattrs == 4 && strcmp(schema->name, "urn:x:S") == 0 &&
			   strcmp(schema->description, "") == 0, "names of members have no case, name and description may be absent");
	if (schema == NULL)
		return;
	a = schema->attrs[0];
	unit_check(strcmp(a->name, "a-b_c$1") == 0 && a->type == SCIM_TYPE_STRING && !a->multi && !a->required && !a->case_exact &&
			   a->mutability == SCIM_IMMUTABLE && a->returned == SCIM_RETURNED_DEFAULT && a->uniqueness == SCIM_UNIQUE_NONE &&
			   a->ncanonical == 2 && strcmp(a->canonical[1], "Y") == 0 && a->ord == -1, "defaults of RFC 7643 2.2");
	unit_check(schema->attrs[1]->case_exact && schema->attrs[2]->case_exact && schema->attrs[1]->nref_types == 2,
			   "references and binaries are case exact");
	unit_check(schema->attrs[3]->nsubs == 2 && schema->attrs[3]->subs[0]->parent == schema->attrs[3], "sub-attributes");

	unit_check(scim_registry_schema(registry, "urn:x:SS", 7) == schema && scim_registry_schema(registry, "urn:x:SS", 8) == NULL &&
			   scim_registry_schema(registry, "urn:x:", 6) == NULL, "URIs as a whole");
	for (int i = 0; i < 40; i++)
	{
		sprintf(text, "{\"id\":\"urn:many:%d\",\"name\":\"n\",\"attributes\":[]}", i);
		unit_check(scim_registry_add_schema(registry, unit_parse_core(text), &err), "%d: %s", i, err.detail);
	}
	unit_check(scim_registry_nschemas(registry) == 47, "%d schemas", scim_registry_nschemas(registry));
	scim_arena_reset();
}

/* ---- resource types ---- */

static void
check_type(const ScimResourceType *type)
{
	int			ntop = 0;

	for (int i = 0; i < type->nattrs; i++)
	{
		const ScimAttr *attr = type->attrs[i];

		unit_check(attr->ord == i, "%s %s: number %d is %d", type->name, attr->name, i, attr->ord);
		unit_check(attr->parent == NULL ? type->top[ntop++] == attr : attr->parent->ord < i && attr->parent->ext == attr->ext &&
				   attr->common == attr->parent->common && scim_attr_sub(attr->parent, attr->name, strlen(attr->name)) == attr,
				   "%s %s", type->name, attr->name);
		unit_check(attr->parent != NULL || scim_type_attr(type, attr->ext, attr->name, strlen(attr->name)) == attr,
				   "%s %s: found", type->name, attr->name);
		unit_check(attr->ext >= SCIM_EXT_CORE && attr->ext < type->nexts, "%s %s: extension %d", type->name, attr->name, attr->ext);
		unit_check(i == 0 || type->attrs[i - 1]->ext <= attr->ext, "%s %s: extensions come last", type->name, attr->name);
	}
	unit_check(ntop == type->ntop, "%s: %d top-level attributes", type->name, ntop);
}

static bool
keep_some(const ScimAttr *attr, void *arg)
{
	(*(int *) arg)++;
	if (attr->ord != -1)
		return false;
	if (attr->parent != NULL)
		return strcmp(attr->parent->name, "emails") != 0 || strcmp(attr->name, "value") == 0;
	/* of the extensions: the manager */
	if (attr->ext >= 0)
		return strcmp(attr->name, "manager") == 0;
	return strcmp(attr->name, "externalId") != 0 && attr->name[0] != 'p';
}

static bool
keep_core(const ScimAttr *attr, void *arg)
{
	return attr->ext < 0;
}

static bool
keep_none(const ScimAttr *attr, void *arg)
{
	return false;
}

static void
test_types(void)
{
	ScimRegistry *registry = registry_make();
	ScimError	err;
	ScimResourceType *user;
	ScimResourceType *group;
	ScimResourceType *type;
	ScimExtension ext;
	ScimAttr   *attr;
	int			asked = 0;

	memset(&err, 0, sizeof(err));
	user = scim_resource_type_standard(registry, "User", &err);
	group = scim_resource_type_standard(registry, "Group", &err);
	unit_check(strcmp(user->name, "User") == 0 && strcmp(user->endpoint, "/Users") == 0 && user->nexts == 1 && !user->exts[0].required &&
			   strcmp(user->schema->uri, SCIM_URN_USER) == 0, "User");
	unit_check(strcmp(group->endpoint, "/Groups") == 0 && group->nexts == 0, "Group");
	check_type(user);
	check_type(group);
	unit_check(user->a_schemas == user->top[0] && user->a_id == user->top[1] && user->a_external_id == user->top[2] &&
			   user->a_meta == user->top[3] && user->a_meta->common && user->a_meta->subs[0]->common &&
			   !user->top[4]->common, "the common attributes come first");

	ext.schema = scim_registry_schema(registry, SCIM_URN_ENTERPRISE_USER, strlen(SCIM_URN_ENTERPRISE_USER));
	ext.required = true;
	type = scim_resource_type_make(registry, "Some", "/Some", "d", SCIM_URN_USER, &ext, 1, keep_some, &asked, &err);
	unit_check(type != NULL && asked > 30, "%d asked: %s", asked, err.detail);
	check_type(type);
	attr = scim_type_attr(type, SCIM_EXT_CORE, "emails", 6);
	unit_check(attr != NULL && attr->nsubs == 1 && strcmp(attr->subs[0]->name, "value") == 0, "one sub-attribute is left");
	unit_check(scim_type_attr(type, SCIM_EXT_CORE, "password", 8) == NULL && type->a_external_id == NULL, "the others are gone");
	unit_check(type->nexts == 1 && type->exts[0].required && type->top[type->ntop - 1]->ext == 0 &&
			   strcmp(type->top[type->ntop - 1]->name, "manager") == 0 && type->top[type->ntop - 1]->nsubs == 3, "the manager is left");

	type = scim_resource_type_make(registry, "Core", "/Core", "d", SCIM_URN_USER, &ext, 1, keep_core, NULL, &err);
	unit_check(type != NULL && type->nexts == 0, "an extension of which nothing is left");
	check_type(type);

	unit_check(scim_resource_type_make(registry, "X", "/X", "d", "urn:none", NULL, 0, NULL, NULL, &err) == NULL && err.status == 400,
			   "a schema that is not there: %d %s", err.status, err.detail);
	memset(&err, 0, sizeof(err));
	unit_check(scim_resource_type_make(registry, "X", "/X", "d", SCIM_URN_USER, NULL, 0, keep_none, NULL, &err) == NULL && err.status == 500,
			   "without schemas, id and meta: %d %s", err.status, err.detail);
	scim_arena_reset();
}

/* A base schema that names common attributes too: they stay one, and the standard's. */
static void
test_common_again(void)
{
	ScimRegistry *registry = registry_make();
	ScimError	err;
	ScimResourceType *type;
	ScimExtension ext;

	memset(&err, 0, sizeof(err));
	unit_check(scim_registry_add_schema(registry, unit_parse_core(
			   "{\"id\":\"urn:x:Thing\",\"name\":\"Thing\",\"attributes\":[{\"name\":\"ID\",\"type\":\"integer\",\"required\":true},"
			   "{\"name\":\"meta\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"x\"}]},{\"name\":\"label\"}]}"), &err) &&
			   scim_registry_add_schema(registry, unit_parse_core(
			   "{\"id\":\"urn:x:Thing:ext\",\"name\":\"E\",\"attributes\":[{\"name\":\"id\",\"type\":\"integer\"}]}"), &err),
			   "%s", err.detail);
	ext.schema = scim_registry_schema(registry, "urn:x:Thing:ext", 15);
	ext.required = false;
	type = scim_resource_type_make(registry, "Thing", "/Things", "", "urn:x:Thing", &ext, 1, NULL, NULL, &err);
	unit_check(type != NULL, "%s", err.detail);
	if (type == NULL)
		return;
	check_type(type);
	unit_check(type->ntop == 6 && type->a_id->type == SCIM_TYPE_STRING && type->a_id->mutability == SCIM_READ_ONLY &&
			   scim_attr_sub(type->a_meta, "created", 7) != NULL && scim_attr_sub(type->a_meta, "x", 1) == NULL,
			   "%d top-level attributes", type->ntop);
	unit_check(scim_type_attr(type, 0, "id", 2) != NULL && scim_type_attr(type, 0, "id", 2)->type == SCIM_TYPE_INTEGER,
			   "an extension's names are its own");
	scim_arena_reset();
}

static void
test_lookups(void)
{
	ScimRegistry *registry = registry_make();
	ScimError	err;
	ScimResourceType *user;
	ScimResourceType *type;
	ScimExtension exts[2];
	json_t	   *resource;
	char		buf[200];
	int			ext = 99;

	memset(&err, 0, sizeof(err));
	user = scim_resource_type_standard(registry, "User", &err);
	unit_check(scim_type_attr(user, SCIM_EXT_CORE, "USERNAME", 8) == scim_type_attr(user, SCIM_EXT_CORE, "userName", 8) &&
			   scim_type_attr(user, SCIM_EXT_CORE, "userNamesake", 8) != NULL, "names without case, by length");
	unit_check(scim_type_attr(user, SCIM_EXT_CORE, "user", 4) == NULL && scim_type_attr(user, SCIM_EXT_CORE, "", 0) == NULL &&
			   scim_type_attr(user, 0, "userName", 8) == NULL && scim_type_attr(user, SCIM_EXT_CORE, "manager", 7) == NULL &&
			   scim_type_attr(user, 0, "MANAGER", 7) != NULL, "names of their own place");
	unit_check(scim_attr_sub(user->a_meta, "CREATED", 7) != NULL && scim_attr_sub(user->a_meta, "create", 6) == NULL &&
			   scim_attr_sub(user->a_id, "x", 1) == NULL, "sub-attributes");
	unit_check(strcmp(scim_attr_path(user, scim_attr_sub(user->a_meta, "created", 7), buf, sizeof(buf)), "meta.created") == 0, "%s", buf);
	unit_check(strcmp(scim_attr_path(user, scim_attr_sub(scim_type_attr(user, 0, "manager", 7), "$ref", 4), buf, sizeof(buf)),
					  SCIM_URN_ENTERPRISE_USER ":manager.$ref") == 0, "%s", buf);
	unit_check(strcmp(scim_attr_path(user, user->a_id, buf, 2), "i") == 0, "cut to the buffer");

	unit_check(scim_type_match_uri(user, SCIM_URN_USER ":userName", strlen(SCIM_URN_USER) + 9, &ext) == strlen(SCIM_URN_USER) &&
			   ext == SCIM_EXT_CORE, "core");
	unit_check(scim_type_match_uri(user, "URN:IETF:params:scim:schemas:extension:enterprise:2.0:user", strlen(SCIM_URN_ENTERPRISE_USER), &ext) ==
			   strlen(SCIM_URN_ENTERPRISE_USER) && ext == 0, "extension, without case, alone");
	unit_check(scim_type_match_uri(user, SCIM_URN_USER "x:userName", strlen(SCIM_URN_USER) + 10, &ext) == 0 &&
			   scim_type_match_uri(user, SCIM_URN_USER, strlen(SCIM_URN_USER) - 1, &ext) == 0 &&
			   scim_type_match_uri(user, SCIM_URN_GROUP, strlen(SCIM_URN_GROUP), &ext) == 0 &&
			   scim_type_match_uri(user, "userName", 8, &ext) == 0 && scim_type_match_uri(user, "", 0, &ext) == 0, "none");

	/* one URI begins another: the longest wins, whatever the order */
	for (int order = 0; order < 2; order++)
	{
		if (order == 0)
			scim_registry_add_schema(registry, unit_parse_core("{\"id\":\"urn:x:B\",\"attributes\":[{\"name\":\"C\"}]}"), &err);
		else
			scim_registry_add_schema(registry, unit_parse_core("{\"id\":\"urn:x:B:C\",\"attributes\":[{\"name\":\"d\"}]}"), &err);
	}
	for (int order = 0; order < 2; order++)
	{
		exts[order].schema = scim_registry_schema(registry, "urn:x:B", 7);
		exts[1 - order].schema = scim_registry_schema(registry, "urn:x:B:C", 9);
		exts[0].required = exts[1].required = false;
		type = scim_resource_type_make(registry, "T", "/T", "", SCIM_URN_GROUP, exts, 2, NULL, NULL, &err);
		unit_check(scim_type_match_uri(type, "urn:x:B:C:d", 11, &ext) == 9 && ext == 1 - order, "longest");
		unit_check(scim_type_match_uri(type, "urn:x:B:c", 9, &ext) == 9 && ext == 1 - order, "longest at the end");
		unit_check(scim_type_match_uri(type, "urn:x:B:e", 9, &ext) == 7 && ext == order, "the other");
	}

	resource = unit_parse_core("{\"userName\":\"x\",\"" SCIM_URN_ENTERPRISE_USER "\":{\"department\":\"d\"}}");
	unit_check(scim_resource_part(user, resource, SCIM_EXT_CORE) == resource &&
			   json_object_get(scim_resource_part(user, resource, 0), "department") != NULL &&
			   scim_resource_part(user, unit_parse_core("{}"), 0) == NULL, "parts of a resource");
	scim_arena_reset();
}

/* A type shows what it kept. */
static void
test_resources(void)
{
	ScimRegistry *registry = registry_make();
	ScimError	err;
	ScimResourceType *type;
	ScimExtension ext;
	json_t	   *resource;
	json_t	   *attributes;
	int			asked = 0;

	memset(&err, 0, sizeof(err));
	ext.schema = scim_registry_schema(registry, SCIM_URN_ENTERPRISE_USER, strlen(SCIM_URN_ENTERPRISE_USER));
	ext.required = false;
	type = scim_resource_type_make(registry, "Some", "/Some", "d", SCIM_URN_USER, &ext, 1, keep_some, &asked, &err);
	resource = scim_schema_resource(type, type->schema, "");
	attributes = json_object_get(resource, "attributes");
	unit_check(json_array_size(attributes) > 10, "%d attributes", (int) json_array_size(attributes));
	for (size_t i = 0; i < json_array_size(attributes); i++)
	{
		const char *name = json_string_value(json_object_get(json_array_get(attributes, i), "name"));

		unit_check(strcmp(name, "id") != 0 && strcmp(name, "meta") != 0 && name[0] != 'p' && strcmp(name, "manager") != 0, "%s", name);
		if (strcmp(name, "emails") == 0)
			unit_check(json_array_size(json_object_get(json_array_get(attributes, i), "subAttributes")) == 1, "what is kept of emails");
	}
	resource = scim_schema_resource(type, ext.schema, "");
	unit_check(json_array_size(json_object_get(resource, "attributes")) == 1 &&
			   strcmp(json_string_value(json_object_get(resource, "id")), SCIM_URN_ENTERPRISE_USER) == 0, "the extension");
	scim_arena_reset();
}

/* ---- lack of memory ---- */

static bool
whole_registry(void *arg, ScimError *err)
{
	ScimRegistry *registry;
	ScimResourceType *type;
	json_t	   *resource;
	bool		right;

	scim_arena_reset();
	registry = scim_registry_create(err);
	if (registry == NULL)
		return false;
	type = scim_resource_type_standard(registry, "User", err);
	if (type == NULL)
		return false;
	resource = scim_schema_resource(type, type->schema, "https://x");
	if (resource == NULL)
		return scim_fail_memory(err);
	right = scim_registry_nschemas(registry) == 6 && type->ntop == 31 &&
		json_array_size(json_object_get(resource, "attributes")) == 21;
	return right;
}

static const char schema_text[] = "{\"id\":\"urn:x:S\",\"name\":\"S\",\"description\":\"d\",\"attributes\":["
"{\"name\":\"a\",\"canonicalValues\":[\"x\",\"y\"]},{\"name\":\"r\",\"type\":\"reference\",\"referenceTypes\":[\"User\"]},"
"{\"name\":\"c\",\"type\":\"complex\",\"subAttributes\":[{\"name\":\"value\"},{\"name\":\"primary\",\"type\":\"boolean\"}]}]}";

static bool
add_and_use(void *arg, ScimError *err)
{
	ScimRegistry *registry = *(ScimRegistry **) arg;
	int			before = scim_registry_nschemas(registry);
	json_t	   *definition = scim_json_parse(schema_text, strlen(schema_text), err);
	ScimCoreFrame frame;
	ScimResourceType *type;
	char		uri[40];
	bool		renamed;

	if (definition == NULL)
		return false;
	/* each time another, so that the registry grows on the way */
	snprintf(uri, sizeof(uri), "urn:x:S%d", before);
	scim_core_enter(&frame);
	renamed = json_string_set(json_object_get(definition, "id"), uri) == 0;
	scim_core_leave(&frame);
	if (!renamed)
		return scim_fail_memory(err);
	if (!scim_registry_add_schema(registry, definition, err))
	{
		unit_check(scim_registry_nschemas(registry) == before, "nothing of a schema stays");
		return false;
	}
	type = scim_resource_type_make(registry, "T", "/T", "d", uri, NULL, 0, NULL, NULL, err);
	if (type == NULL)
		return false;
	return type->ntop == 7 && type->attrs[type->nattrs - 1]->type == SCIM_TYPE_BOOLEAN;
}

static void
test_torture(void)
{
	ScimRegistry *registry;
	long		n = unit_torture("registry", whole_registry, NULL);

	unit_check(n > 1000, "%ld allocations", n);
	scim_arena_reset();
	registry = registry_make();
	n = unit_torture("schema", add_and_use, &registry);
	unit_check(n > 50, "%ld allocations", n);
	scim_arena_reset();
}

int
main(void)
{
	unit_run("standard", test_standard);
	unit_run("characteristics", test_characteristics);
	unit_run("refused", test_refused);
	unit_run("accepted", test_accepted);
	unit_run("types", test_types);
	unit_run("common again", test_common_again);
	unit_run("lookups", test_lookups);
	unit_run("resources", test_resources);
	unit_run("torture", test_torture);
	return unit_finish();
}
