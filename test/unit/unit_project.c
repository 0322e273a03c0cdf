/*
 * unit_project.c
 *		attributes and excludedAttributes: every value of "returned", names in
 *		all forms, what is left of a resource.
 */
#include "unit.h"
#include "unit_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_project.h"

#define ENT SCIM_URN_ENTERPRISE_USER
#define EXT "urn:x:returned:2.0:User"

static const ScimResourceType *type;
static const json_t *resource;

/* An extension with each "returned", at the top and below. */
static const char *const schema_text =
	"{\"id\":\"" EXT "\",\"name\":\"Returned\",\"attributes\":["
	"{\"name\":\"plain\"},"
	"{\"name\":\"forced\",\"returned\":\"always\"},"
	"{\"name\":\"asked\",\"returned\":\"request\"},"
	"{\"name\":\"hidden\",\"returned\":\"never\"},"
	"{\"name\":\"mixed\",\"type\":\"complex\",\"multiValued\":true,\"subAttributes\":["
	"{\"name\":\"value\"},{\"name\":\"forced\",\"returned\":\"always\"},{\"name\":\"asked\",\"returned\":\"request\"},"
	"{\"name\":\"hidden\",\"returned\":\"never\"}]},"
	"{\"name\":\"askedTree\",\"type\":\"complex\",\"returned\":\"request\",\"subAttributes\":["
	"{\"name\":\"a\"},{\"name\":\"b\"}]}]}";

static const char *const resource_text =
	"{\"schemas\":[\"" SCIM_URN_USER "\",\"" EXT "\"],\"ID\":\"u1\",\"externalId\":\"e\",\"USERNAME\":\"bjensen\",\"password\":\"hush\","
	"\"name\":{\"givenName\":\"Barbara\",\"FamilyName\":\"Jensen\"},\"title\":null,\"photos\":[],\"nickName\":\"\","
	"\"emails\":[{\"value\":\"a@b\",\"type\":\"work\",\"primary\":false},{\"value\":\"c@d\"},{},null],"
	"\"unknown\":1,\"meta\":{\"resourceType\":\"User\",\"location\":\"/Users/u1\"},"
	"\"" ENT "\":{\"department\":\"Tour\",\"manager\":{\"value\":\"u2\",\"displayName\":\"Boss\"}},"
	"\"URN:x:returned:2.0:user\":{\"plain\":\"p\",\"Forced\":\"f\",\"asked\":\"q\",\"hidden\":\"h\","
	"\"mixed\":[{\"value\":\"v\",\"forced\":\"f\",\"asked\":\"q\",\"hidden\":\"h\"}],\"askedTree\":{\"a\":\"a\",\"b\":\"b\"}}}";

static void
world(void)
{
	ScimError	err;
	ScimRegistry *registry;
	ScimExtension exts[2];

	memset(&err, 0, sizeof(err));
	scim_arena_reset();
	registry = scim_registry_create(&err);
	unit_check(scim_registry_add_schema(registry, unit_parse_json(schema_text), &err), "%s", err.detail);
	exts[0].schema = scim_registry_schema(registry, ENT, strlen(ENT));
	exts[1].schema = scim_registry_schema(registry, EXT, strlen(EXT));
	exts[0].required = exts[1].required = false;
	type = scim_resource_type_make(registry, "User", "/Users", "", SCIM_URN_USER, exts, 2, NULL, NULL, &err);
	unit_check(type != NULL, "%s", err.detail);
	if (resource == NULL)
		resource = unit_parse_json(resource_text);
}

/* Names of what the projection left, sub-attributes in braces, in order. */
static void
describe(const json_t *value, char *out)
{
	const char *key;
	json_t	   *member;
	bool		first = true;

	if (json_is_array(value))
	{
		size_t		i;

		for (i = 0; i < json_array_size(value); i++)
			if (json_is_object(json_array_get(value, i)))
				describe(json_array_get(value, i), out);
		return;
	}
	strcat(out, "{");
	json_object_foreach((json_t *) value, key, member)
	{
		sprintf(out + strlen(out), "%s%s", first ? "" : " ", strcmp(key, ENT) == 0 ? "ENT" : strcmp(key, EXT) == 0 ? "EXT" : key);
		first = false;
		if (json_is_object(member) || json_is_array(member))
			describe(member, out);
	}
	strcat(out, "}");
}

typedef struct Case
{
	const char *attributes;
	const char *excluded;
	const char *left;
} Case;

#define MIN "schemas id"
#define META " meta{resourceType location}"
#define MAIL " emails{value type primary}{value}"
#define NAME " name{familyName givenName}"
#define FORCED " EXT{forced}"
#define ENTALL " ENT{department manager{value displayName}}"
#define EXTALL " EXT{plain forced mixed{value forced}}"

static const Case cases[] = {
	{NULL, NULL, "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL EXTALL "}"},
	{"", "", "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL EXTALL "}"},
	{" , ,", NULL, "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL EXTALL "}"},
	/* attributes */
	{"userName", NULL, "{" MIN " userName" FORCED "}"},
	{"USERNAME, foo,,", NULL, "{" MIN " userName" FORCED "}"},
	{"foo", NULL, "{" MIN FORCED "}"},
	{"userName", "", "{" MIN " userName" FORCED "}"},
	{"id", NULL, "{" MIN FORCED "}"},
	{"name.givenName\t,\temails.value", NULL, "{" MIN " name{givenName} emails{value}{value}" FORCED "}"},
	{"emails.type", NULL, "{" MIN " emails{type}" FORCED "}"},
	{"emails", NULL, "{" MIN MAIL FORCED "}"},
	{"meta.location", NULL, "{" MIN " meta{location}" FORCED "}"},
	{"password", NULL, "{" MIN FORCED "}"},
	{"title,photos", NULL, "{" MIN FORCED "}"},
	{SCIM_URN_USER ":userName", NULL, "{" MIN " userName" FORCED "}"},
	{SCIM_URN_USER, NULL, "{" MIN " userName" NAME " nickName" MAIL FORCED "}"},
	{ENT, NULL, "{" MIN ENTALL FORCED "}"},
	{"urn:IETF:params:scim:schemas:extension:enterprise:2.0:user:MANAGER.value", NULL, "{" MIN " ENT{manager{value}}" FORCED "}"},
	{"department", NULL, "{" MIN " ENT{department}" FORCED "}"},
	{EXT, NULL, "{" MIN EXTALL "}"},
	{EXT ":asked", NULL, "{" MIN " EXT{forced asked}}"},
	{EXT ":hidden", NULL, "{" MIN FORCED "}"},
	{EXT ":mixed", NULL, "{" MIN " EXT{forced mixed{value forced}}}"},
	{EXT ":mixed.value", NULL, "{" MIN " EXT{forced mixed{value forced}}}"},
	{EXT ":mixed.asked", NULL, "{" MIN " EXT{forced mixed{forced asked}}}"},
	{EXT ":mixed.hidden", NULL, "{" MIN FORCED "}"},
	{EXT ":askedTree", NULL, "{" MIN " EXT{forced askedTree{a b}}}"},
	{EXT ":askedTree.b", NULL, "{" MIN " EXT{forced askedTree{b}}}"},
	/* excludedAttributes */
	{NULL, "id,schemas,members,foo", "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL EXTALL "}"},
	{"", "emails, NAME", "{" MIN " externalId" META " userName nickName" ENTALL EXTALL "}"},
	{NULL, "emails.type,emails.primary,name.givenName,meta", "{" MIN " externalId userName name{familyName} nickName emails{value}{value}" ENTALL EXTALL "}"},
	{NULL, ENT, "{" MIN " externalId" META " userName" NAME " nickName" MAIL EXTALL "}"},
	{NULL, ENT ":manager.value," ENT ":manager.$ref," ENT ":manager.displayName", "{" MIN " externalId" META " userName" NAME " nickName" MAIL " ENT{department}" EXTALL "}"},
	{NULL, SCIM_URN_USER, "{" MIN " externalId" META ENTALL EXTALL "}"},
	{NULL, EXT, "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL FORCED "}"},
	{NULL, EXT ":forced," EXT ":mixed.forced," EXT ":mixed.value", "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL " EXT{plain forced mixed{forced}}}"},
	{NULL, EXT ":mixed", "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL " EXT{plain forced}}"},
	{NULL, EXT ":asked", "{" MIN " externalId" META " userName" NAME " nickName" MAIL ENTALL EXTALL "}"},
	/* both */
	{"userName", "title", NULL},
	{"foo", "bar", NULL},
};

static void
test_cases(void)
{
	size_t		i;

	world();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ScimError	err;
		ScimSelection *selection;
		json_t	   *out;
		char		got[4096];

		memset(&err, 0, sizeof(err));
		selection = scim_selection_parse(type, cases[i].attributes, cases[i].excluded, &err);
		if (cases[i].left == NULL)
		{
			unit_check(selection == NULL && err.status == 400 && strcmp(err.scim_type, SCIM_INVALID_VALUE) == 0, "%s: accepted",
					   cases[i].attributes);
			continue;
		}
		unit_check(selection != NULL, "%s", err.detail);
		out = selection ? scim_project(type, resource, selection, &err) : NULL;
		unit_check(out != NULL, "%s", err.detail);
		if (out == NULL)
			continue;
		got[0] = '\0';
		describe(out, got);
		unit_check(strcmp(got, cases[i].left) == 0, "%s / %s:\n    %s instead of\n    %s", cases[i].attributes ? cases[i].attributes : "-",
				   cases[i].excluded ? cases[i].excluded : "-", got, cases[i].left);
		unit_check(strstr(json_dumps(out, 0), "hush") == NULL, "the password is returned");
		unit_check(selection->is_default == (i < 3), "%d: is_default", (int) i);
	}
}

/* Arrays of names, as in a SearchRequest: the same. */
static void
test_lists(void)
{
	static const char *const names[] = {" userName ", "", "emails.value"};
	ScimError	err;
	ScimSelection *a;
	ScimSelection *b;

	world();
	memset(&err, 0, sizeof(err));
	a = scim_selection_make(type, names, 3, NULL, 0, &err);
	b = scim_selection_parse(type, "userName,emails.value", NULL, &err);
	unit_check(a && b && memcmp(a->has, b->has, a->nattrs * sizeof(bool)) == 0, "attributes");
	a = scim_selection_make(type, NULL, 0, names, 3, &err);
	b = scim_selection_parse(type, NULL, "userName,emails.value", &err);
	unit_check(a && b && memcmp(a->has, b->has, a->nattrs * sizeof(bool)) == 0, "excludedAttributes");
	a = scim_selection_make(type, names + 1, 1, names, 3, &err);
	unit_check(a && b && memcmp(a->has, b->has, a->nattrs * sizeof(bool)) == 0, "an empty name is none");
	unit_check(scim_selection_make(type, names, 1, names, 1, &err) == NULL && err.status == 400, "both");
	/* a comma in an array is part of a name */
	memset(&err, 0, sizeof(err));
	a = scim_selection_make(type, (const char *const[]) {"userName,title"}, 1, NULL, 0, &err);
	b = scim_selection_parse(type, "foo", NULL, &err);
	unit_check(a && b && memcmp(a->has, b->has, a->nattrs * sizeof(bool)) == 0, "a comma in an array");
}

static void
test_all(void)
{
	ScimError	err;
	json_t	   *copy;
	char		got[4096];

	world();
	memset(&err, 0, sizeof(err));
	copy = scim_project(type, resource, scim_selection_all(type, &err), &err);
	got[0] = '\0';
	describe(copy, got);
	unit_check(strcmp(got, "{" MIN " externalId" META " userName" NAME " nickName password" MAIL ENTALL
					  " EXT{plain forced asked hidden mixed{value forced asked hidden} askedTree{a b}}}") == 0, "%s", got);
	unit_check(strcmp(json_string_value(json_object_get(copy, "password")), "hush") == 0, "values are copied");
}

static void
test_torture(void)
{
	ScimError	err;
	long		n;

	world();
	for (n = 1; n < 1000; n++)
	{
		ScimSelection *selection;

		scim_alloc_fail_at(n);
		memset(&err, 0, sizeof(err));
		selection = scim_selection_parse(type, NULL, "title", &err);
		if (selection != NULL && scim_project(type, resource, selection, &err) != NULL)
			break;
		unit_check(err.status == 413, "%ld: %d %s", n, err.status, err.detail);
	}
	unit_check(n > 20 && n < 1000, "%ld allocations", n);
	scim_alloc_fail_at(0);
}

int
main(void)
{
	unit_run("cases", test_cases);
	unit_run("lists", test_lists);
	unit_run("all", test_all);
	unit_run("torture", test_torture);
	return unit_finish();
}
