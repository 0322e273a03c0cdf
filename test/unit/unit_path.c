/*
 * unit_path.c
 *		Attribute paths: what resolves to what, what is malformed and where.
 */
#include "unit.h"
#include "unit_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_path.h"

#define BADGE "urn:example:params:scim:schemas:extension:badge:2.0:User"
#define ENT SCIM_URN_ENTERPRISE_USER

typedef struct Case
{
	const char *text;
	const char *strict;			/* what it resolves to, or the scimType */
	const char *compat;
} Case;

#define BOTH(x) x, x
#define PATH "invalidPath"
#define FILTER "invalidFilter"

/* Outcome: URN and attribute, "[canonical filter]", ".sub". */
static const Case cases[] = {
	{"title", BOTH("title")},
	{"TITLE", BOTH("title")},
	{"name", BOTH("name")},
	{"name.givenName", BOTH("name.givenName")},
	{"Name.GIVENNAME", BOTH("name.givenName")},
	{"emails.type", BOTH("emails.type")},
	{"id", BOTH("id")},
	{"schemas", BOTH("schemas")},
	{"meta.lastModified", BOTH("meta.lastModified")},
	{"groups.$ref", BOTH("groups.$ref")},
	{SCIM_URN_USER ":title", BOTH("title")},
	{"URN:ietf:params:scim:schemas:core:2.0:USER:Name.givenName", BOTH("name.givenName")},
	{SCIM_URN_USER ":externalId", BOTH("externalId")},
	{SCIM_URN_USER, BOTH("core")},
	{ENT, BOTH("ext0")},
	{BADGE, BOTH("ext1")},
	{ENT ":department", BOTH(ENT ":department")},
	{ENT ":Manager.Value", BOTH(ENT ":manager.value")},
	{BADGE ":slots[rank gt 1].value", BOTH(BADGE ":slots[(rank gt 1)].value")},
	{"emails[type eq \"work\"]", BOTH("emails[(type eq \"work\")]")},
	{"EMAILS[TYPE eq \"work\"].VALUE", BOTH("emails[(TYPE eq \"work\")].value")},
	{"emails[type eq \"a]b[c\\\"]\"].display", BOTH("emails[(type eq \"a]b[c\\\"]\")].display")},
	{"emails[not (type pr) and (value co \"x\" or primary eq true)]",
	BOTH("emails[((not (type pr)) and ((value co \"x\") or (primary eq true)))]")},
	{SCIM_URN_USER ":emails[type eq \"work\"].value", BOTH("emails[(type eq \"work\")].value")},
	/* compat */
	{"department", PATH, ENT ":department"},
	{"manager.value", PATH, ENT ":manager.value"},
	{"slots[rank eq 1].since", PATH, BADGE ":slots[(rank eq 1)].since"},
	{"emails[ type eq \"work\" ].value", FILTER, "emails[(type eq \"work\")].value"},
	{"emails[type eq\"work\"]", FILTER, "emails[(type eq \"work\")]"},
	{"roles[primary eq \"True\"].value", FILTER, "roles[(primary eq \"True\")].value"},
	{BADGE ":tags[value eq \"red\"]", PATH, BADGE ":tags[(value eq \"red\")]"},
	{BADGE ":tags[value eq \"red\"].value", BOTH(PATH)},
	{BADGE ":tags[type eq \"red\"]", PATH, FILTER},
	/* unknown */
	{"shoeSize", BOTH(PATH)},
	{"name.shoeSize", BOTH(PATH)},
	{"title.value", BOTH(PATH)},
	{"department.x", BOTH(PATH)},
	{ENT ":shoeSize", BOTH(PATH)},
	{ENT ":title", BOTH(PATH)},
	{"urn:example:none:2.0:User:x", BOTH(PATH)},
	{"emails[type eq \"work\"].shoeSize", BOTH(PATH)},
	/* malformed */
	{"", BOTH(PATH)},
	{" ", BOTH(PATH)},
	{"title ", BOTH(PATH)},
	{" title", BOTH(PATH)},
	{".title", BOTH(PATH)},
	{"title.", BOTH(PATH)},
	{"name..givenName", BOTH(PATH)},
	{"name.givenName.x", BOTH(PATH)},
	{"/emails/0/value", BOTH(PATH)},
	{"emails/value", BOTH(PATH)},
	{"emails[", BOTH(PATH)},
	{"emails]", BOTH(PATH)},
	{"emails[type eq \"work\"", BOTH(PATH)},
	{"emails[type eq \"work]", BOTH(PATH)},
	{"emails[type eq \"work\\\"]", BOTH(PATH)},
	{"emails[type eq \"work\\", BOTH(PATH)},
	{"emails[type eq \"work\"].", BOTH(PATH)},
	{"emails[type eq \"work\"]]", BOTH(PATH)},
	{"emails[type eq \"work\"]value", BOTH(PATH)},
	{"emails[type eq \"work\"].value.x", BOTH(PATH)},
	{"emails[type eq \"work\"][value pr]", BOTH(PATH)},
	{"emails[type eq \"work\"].value[display pr]", BOTH(PATH)},
	{"emails.value[type eq \"work\"]", BOTH(PATH)},
	{"emails [type eq \"work\"]", BOTH(PATH)},
	{"[type eq \"work\"]", BOTH(PATH)},
	{"name[givenName eq \"x\"]", BOTH(PATH)},
	{"title[value eq \"x\"]", BOTH(PATH)},
	{ENT "[value pr]", BOTH(PATH)},
	{"title\"", BOTH(PATH)},
	{"tit\xc3\xa4le", BOTH(PATH)},
	/* the filter in brackets */
	{"emails[]", BOTH(FILTER)},
	{"emails[0]", BOTH(FILTER)},
	{"emails[0].value", BOTH(FILTER)},
	{"emails[type eq]", BOTH(FILTER)},
	{"emails[type]", BOTH(FILTER)},
	{"emails[type regex \"x\"]", BOTH(FILTER)},
	{"emails[foo eq \"x\"].value", BOTH(FILTER)},
	{"emails[type eq 5]", BOTH(FILTER)},
	{"emails[primary gt true]", BOTH(FILTER)},
	{"emails[value[type eq \"x\"]]", BOTH(FILTER)},
	{"emails[emails.type eq \"x\"]", BOTH(FILTER)},
	{"emails[type eq \"\xff\"]", BOTH(FILTER)},
};

static ScimPath *
parse(const char *text, ScimMode mode, ScimError *err)
{
	memset(err, 0, sizeof(*err));
	err->position = -1;
	return scim_path_parse(unit_world_type("User"), text, strlen(text), mode, err);
}

static const char *
show(const ScimPath *path)
{
	static char out[9000];
	char		name[256];

	if (path->attr == NULL)
		snprintf(out, sizeof(out), path->ext < 0 ? "core" : "ext%d", path->ext);
	else
		snprintf(out, sizeof(out), "%s%s%s%s%s%s", scim_attr_path(unit_world_type("User"), path->attr, name, sizeof(name)),
				 path->filter ? "[" : "", path->filter ? scim_filter_print(path->filter) : "", path->filter ? "]" : "",
				 path->sub ? "." : "", path->sub ? path->sub->name : "");
	return out;
}

static void
test_cases(void)
{
	ScimError	err;
	size_t		i;
	int			m;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (m = 0; m < 2; m++)
		{
			const char *want = m == 0 ? cases[i].strict : cases[i].compat;
			ScimPath   *path = parse(cases[i].text, m == 0 ? SCIM_STRICT : SCIM_COMPAT, &err);

			if (path != NULL)
			{
				unit_check(strcmp(show(path), want) == 0, "%s: %s instead of %s", cases[i].text, show(path), want);
				unit_check(path->attr == NULL || path->ext == path->attr->ext, "%s: ext %d", cases[i].text, path->ext);
			}
			else
				unit_check(err.status == 400 && strcmp(err.scim_type, want) == 0 && err.position >= 0 &&
						   (size_t) err.position <= strlen(cases[i].text),
						   "%s (%s): %s instead of %s", cases[i].text, m ? "compat" : "strict", err.detail, want);
		}
	}
}

static void
test_errors(void)
{
	static const struct
	{
		const char *text;
		int			position;
		const char *detail;
	}			errors[] = {
		{"shoeSize", 0, "unknown attribute \"shoeSize\""},
		{"title ", 5, "unexpected character"},
		{"emails[type eq \"hush\"", 6, "not closed"},
		{"emails[type eq \"hush\"].x", 23, "unknown sub-attribute \"x\""},
		{"emails[type eq \"hush\"]x", 22, "\".\""},
		{"emails[type eq hush]", 15, "JSON string"},
		{"emails[type regex \"hush\"]", 12, "\"regex\""},
		{"emails[type pr and size eq \"hush\"]", 19, "unknown sub-attribute"},
		{"name[familyName eq \"hush\"]", 4, "takes no filter"},
		{"\"hush\"", 0, "attribute name"},
	};
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
	{
		unit_check(parse(errors[i].text, SCIM_STRICT, &err) == NULL && err.position == errors[i].position &&
				   strstr(err.detail, errors[i].detail) != NULL, "%s: %s", errors[i].text, err.detail);
		unit_check(strstr(err.detail, "hush") == NULL, "%s: %s", errors[i].text, err.detail);
	}
}

static void
test_resolve(void)
{
	static const struct
	{
		const char *text;
		size_t		consumed;
		const char *shown;
	}			names[] = {
		{"emails[type eq \"x\"]", 6, "emails"},
		{"name.givenName eq", 14, "name.givenName"},
		{"title,name", 5, "title"},
		{ENT ":manager.value[", sizeof(ENT ":manager.value") - 1, ENT ":manager.value"},
		{ENT, sizeof(ENT) - 1, "ext0"},
		{"name.foo", 0, NULL},
		{"foo", 0, NULL},
		{"", 0, NULL},
		{"[", 0, NULL},
	};
	size_t		i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		ScimPath	path;
		size_t		n = scim_path_resolve(unit_world_type("User"), names[i].text, strlen(names[i].text), SCIM_STRICT, &path);

		unit_check(n == names[i].consumed, "%s: %d bytes", names[i].text, (int) n);
		unit_check(n == 0 || strcmp(show(&path), names[i].shown) == 0, "%s: %s", names[i].text, show(&path));
	}
}

/* A name that two extensions have is no one's; the core schema goes first. */
static void
test_ambiguous(void)
{
	static const char *const schemas[] = {
		"{\"id\":\"urn:x:a:User\",\"name\":\"A\",\"attributes\":[{\"name\":\"both\"},{\"name\":\"title\"},{\"name\":\"one\"}]}",
		"{\"id\":\"urn:x:a:User:sub\",\"name\":\"B\",\"attributes\":[{\"name\":\"both\"},{\"name\":\"two\"}]}",
	};
	static const struct
	{
		const char *text;
		const char *shown;
	}			names[] = {
		{"both", NULL},
		{"one", "urn:x:a:User:one"},
		{"two", "urn:x:a:User:sub:two"},
		{"title", "title"},
		{"urn:x:a:User:title", "urn:x:a:User:title"},
		/* the longest URI */
		{"urn:x:a:User:sub", "urn:x:a:User:sub"},
		{"urn:x:a:User:sub:both", "urn:x:a:User:sub:both"},
		{"urn:x:a:User:both", "urn:x:a:User:both"},
	};
	ScimError	err;
	ScimRegistry *registry;
	ScimResourceType *type;
	ScimExtension exts[2];
	char		name[256];
	size_t		i;

	memset(&err, 0, sizeof(err));
	registry = scim_registry_create(&err);
	for (i = 0; i < 2; i++)
	{
		json_t	   *schema = unit_parse_json(schemas[i]);
		const char *id = json_string_value(json_object_get(schema, "id"));

		unit_check(scim_registry_add_schema(registry, schema, &err), "%s", err.detail);
		exts[i].schema = scim_registry_schema(registry, id, strlen(id));
		exts[i].required = false;
	}
	type = scim_resource_type_make(registry, "User", "/Users", "", SCIM_URN_USER, exts, 2, NULL, NULL, &err);
	unit_check(type != NULL, "%s", err.detail);
	for (i = 0; type != NULL && i < sizeof(names) / sizeof(names[0]); i++)
	{
		ScimPath   *path;
		const char *shown = NULL;

		memset(&err, 0, sizeof(err));
		path = scim_path_parse(type, names[i].text, strlen(names[i].text), SCIM_COMPAT, &err);
		if (path != NULL)
			shown = path->attr ? scim_attr_path(type, path->attr, name, sizeof(name)) : type->exts[path->ext].schema->uri;
		unit_check(shown && names[i].shown ? strcmp(shown, names[i].shown) == 0 : shown == names[i].shown,
				   "%s: %s %s", names[i].text, shown ? shown : "-", err.detail);
	}
}

static void
test_limits(void)
{
	char		text[20000];
	ScimError	err;
	int			n;

	for (n = 1; n <= 4; n++)
	{
		size_t		len;

		strcpy(text, "emails[type eq \"x\"");
		len = strlen(text);
		while (len < 3000u * n)
			len += (size_t) sprintf(text + len, " or value eq \"%0*d\"", 900, n);
		strcat(text, "]");
		unit_check((parse(text, SCIM_COMPAT, &err) != NULL) == (n == 1), "%d: %s", n, err.detail);
		unit_check(n == 1 || strcmp(err.scim_type, n == 2 ? FILTER : PATH) == 0, "%d: %s", n, err.detail);
	}
	memset(text, '(', 5000);
	memcpy(text, "emails[", 7);
	strcpy(text + 3000, "]");
	unit_check(parse(text, SCIM_COMPAT, &err) == NULL && strcmp(err.scim_type, FILTER) == 0, "%s", err.detail);
	memset(text, '[', 5000);
	memcpy(text, "emails", 6);
	text[4000] = '\0';
	unit_check(parse(text, SCIM_COMPAT, &err) == NULL && strcmp(err.scim_type, PATH) == 0, "%s", err.detail);
	memset(text, 'a', 5000);
	text[4000] = '\0';
	unit_check(parse(text, SCIM_COMPAT, &err) == NULL && strlen(err.detail) < 250, "%s", err.detail);
}

static void
test_torture(void)
{
	ScimError	err;
	long		n;

	for (n = 1; n < 100; n++)
	{
		scim_alloc_fail_at(n);
		if (parse("emails[type eq \"W\xc3\xb6rk\" and value eq \"x\"].value", SCIM_STRICT, &err) != NULL)
			break;
		unit_check(err.status == 413, "%ld: %s", n, err.detail);
	}
	unit_check(n > 5 && n < 100, "%ld allocations", n);
	scim_alloc_fail_at(0);
}

int
main(void)
{
	unit_run("cases", test_cases);
	unit_run("errors", test_errors);
	unit_run("resolve", test_resolve);
	unit_run("ambiguous", test_ambiguous);
	unit_run("limits", test_limits);
	unit_run("torture", test_torture);
	return unit_finish();
}
