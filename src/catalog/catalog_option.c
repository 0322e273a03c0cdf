/*
 * catalog_option.c
 *		Options of an endpoint: a JSON object in scim._endpoints.options.
 */
#include "postgres.h"

#include "catalog.h"

/* A hundred years, and no overflow where they are counted back. */
#define MAX_DAYS 36525

typedef enum OptionKind
{
	OPTION_BOOL,				/* true or false */
	OPTION_LIMIT,				/* a positive integer */
	OPTION_DAYS,				/* the same, of days */
	OPTION_CHOICE,				/* one of two words; the second is true */
	OPTION_NAMES				/* an array of names */
} OptionKind;

typedef struct Option
{
	const char *name;
	OptionKind	kind;
	size_t		offset;			/* in ScimOptions */
	const char *words[2];
} Option;

static const Option options_known[] = {
	{"patch", OPTION_BOOL, offsetof(ScimOptions, patch), {NULL, NULL}},
	{"bulk", OPTION_BOOL, offsetof(ScimOptions, bulk), {NULL, NULL}},
	{"sort", OPTION_BOOL, offsetof(ScimOptions, sort), {NULL, NULL}},
	{"pagination", OPTION_BOOL, offsetof(ScimOptions, pagination), {NULL, NULL}},
	{"publicConfig", OPTION_BOOL, offsetof(ScimOptions, public_config), {NULL, NULL}},
	{"oauth", OPTION_BOOL, offsetof(ScimOptions, oauth), {NULL, NULL}},
	{"requestLog", OPTION_BOOL, offsetof(ScimOptions, request_log), {NULL, NULL}},
	{"softDelete", OPTION_BOOL, offsetof(ScimOptions, soft_delete), {NULL, NULL}},
	{"reviveDeleted", OPTION_BOOL, offsetof(ScimOptions, revive_deleted), {NULL, NULL}},
	{"reviveInactive", OPTION_BOOL, offsetof(ScimOptions, revive_inactive), {NULL, NULL}},
	{"unknownAttributes", OPTION_CHOICE, offsetof(ScimOptions, refuse_unknown), {"ignore", "refuse"}},
	{"sensitive", OPTION_NAMES, offsetof(ScimOptions, sensitive), {NULL, NULL}},
	{"tooMany", OPTION_LIMIT, offsetof(ScimOptions, too_many), {NULL, NULL}},
	{"requestsPerSecond", OPTION_LIMIT, offsetof(ScimOptions, rate), {NULL, NULL}},
	{"deletedRetention", OPTION_DAYS, offsetof(ScimOptions, deleted_retention), {NULL, NULL}}
};

static bool
set_option(const Option *option, const json_t *value, ScimOptions *options, ScimError *err)
{
	void	   *field = (char *) options + option->offset;
	const char *text = json_string_value(value);
	List	   *names = NIL;

	switch (option->kind)
	{
		case OPTION_BOOL:
			if (!json_is_boolean(value))
				return scim_fail(err, 400, NULL, "option %s is true or false", option->name);
			*(bool *) field = json_is_true(value);
			return true;
		case OPTION_LIMIT:
		case OPTION_DAYS:
			if (!json_is_integer(value) || json_integer_value(value) < 1 ||
				(option->kind == OPTION_DAYS && json_integer_value(value) > MAX_DAYS))
				return scim_fail(err, 400, NULL, "option %s is a positive integer", option->name);
			*(int64 *) field = json_integer_value(value);
			return true;
		case OPTION_CHOICE:
			if (text == NULL || (strcmp(text, option->words[0]) != 0 && strcmp(text, option->words[1]) != 0))
				return scim_fail(err, 400, NULL, "option %s is \"%s\" or \"%s\"", option->name, option->words[0], option->words[1]);
			*(bool *) field = strcmp(text, option->words[1]) == 0;
			return true;
		case OPTION_NAMES:
			for (size_t i = 0; i < json_array_size(value); i++)
			{
				const char *name = json_string_value(json_array_get(value, i));

				if (name == NULL || name[0] == '\0')
					return scim_fail(err, 400, NULL, "option %s is an array of names", option->name);
				names = lappend(names, pstrdup(name));
			}
			if (!json_is_array(value))
				return scim_fail(err, 400, NULL, "option %s is an array of names", option->name);
			*(List **) field = names;
			return true;
	}
	return false;
}

bool
scim_options_parse(const char *text, ScimOptions *options, ScimError *err)
{
	json_t	   *tree = scim_json_parse(text, strlen(text), err);
	const char *name;
	json_t	   *value;

	memset(options, 0, sizeof(*options));
	options->patch = options->bulk = options->sort = options->pagination = true;
	if (tree == NULL)
		return false;
	json_object_foreach(tree, name, value)
	{
		const Option *option = NULL;

		for (int i = 0; i < lengthof(options_known); i++)
			if (strcmp(options_known[i].name, name) == 0)
				option = &options_known[i];
		if (option == NULL)
			return scim_fail(err, 400, NULL, "there is no option \"%s\"", name);
		if (!set_option(option, value, options, err))
			return false;
	}
	return true;
}
