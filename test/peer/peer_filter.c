/*
 * peer_filter.c
 *		Filters and PATCH paths.
 *
 * Filters are taken as strictly as the strictest product takes them: terms of
 * `attribute eq "JSON string"`, one space on each side, joined by " and ", with
 * the attributes and combinations that the profile names.  Anything else is an
 * error, so that a client that quotes wrongly is found out.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "peer.h"

/* The value of a name in any case of letters; *spelled is how it is written. */
json_t *
peer_get(const json_t *object, const char *name, const char **spelled)
{
	json_t	   *value = json_object_get(object, name);
	const char *key;

	if (spelled)
		*spelled = name;
	if (value != NULL || !json_is_object(object))
		return value;
	json_object_foreach((json_t *) object, key, value)
		if (strcasecmp(key, name) == 0)
		{
			if (spelled)
				*spelled = key;
			return value;
		}
	return NULL;
}

/* A JSON value at the front of text; *end is behind it. */
static json_t *
leading_json(const char *text, const char **end)
{
	json_error_t error;
	json_t	   *value = json_loads(text, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);

	if (value)
		*end = text + error.position;
	return value;
}

static size_t
name_length(const char *text)
{
	size_t		n = 0;

	while (isalnum((unsigned char) text[n]) || (text[n] && strchr("_-$", text[n])))
		n++;
	return n;
}

/* ---- filters ---- */

#define WORK_EMAIL "emails[type eq \"work\"].value"

void
peer_filter_free(Filter *filter)
{
	for (int i = 0; i < filter->n; i++)
	{
		free(filter->attribute[i]);
		free(filter->value[i]);
	}
	filter->n = 0;
}

static bool
allowed(const Filter *filter, const char *list)
{
	char		pair[512];

	if (filter->n == 2 && strlen(filter->attribute[0]) + strlen(filter->attribute[1]) + 2 < sizeof(pair))
	{
		for (int i = 0; i < 2; i++)
		{
			strcpy(pair, filter->attribute[i]);
			strcat(pair, "+");
			strcat(pair, filter->attribute[1 - i]);
			if (peer_listed(list, pair))
				return true;
		}
	}
	if (filter->n > 1 && !peer_settings.profile.filter_and)
		return false;
	for (int i = 0; i < filter->n; i++)
		if (!peer_listed(list, strcasecmp(filter->attribute[i], WORK_EMAIL) == 0 ? "emails.value" : filter->attribute[i]))
			return false;
	return true;
}

/* NULL, or what is wrong. */
const char *
peer_filter_parse(const char *text, bool group, Filter *filter)
{
	const char *at = text;

	filter->n = 0;
	for (;;)
	{
		size_t		length = 0;
		json_t	   *value;

		if (filter->n == TERMS_MAX)
			return "too many terms";
		if (strncasecmp(at, WORK_EMAIL, strlen(WORK_EMAIL)) == 0)
			length = strlen(WORK_EMAIL);
		else
			while (isalnum((unsigned char) at[length]) || (at[length] && strchr("_-$.:", at[length])))
				length++;
		if (length == 0)
			return "an attribute is expected";
		if (strncmp(at + length, " eq ", 4) != 0)
			return "only eq is supported, with one space on each side";
		filter->attribute[filter->n] = strndup(at, length);
		filter->value[filter->n] = NULL;
		filter->n++;
		at += length + 4;
		if (*at != '"' || (value = leading_json(at, &at)) == NULL)
			return "the value must be a string in double quotes";
		filter->value[filter->n - 1] = peer_strdup(json_string_value(value));
		json_decref(value);
		if (*at == '\0')
			break;
		if (strncmp(at, " and ", 5) != 0)
			return "only and may join terms";
		at += 5;
	}
	if (!allowed(filter, group ? peer_settings.profile.group_filter : peer_settings.profile.user_filter))
		return "filtering by this attribute or combination is not supported";
	return NULL;
}

static bool
term_index(const char *attribute, bool group, IndexKind *kind)
{
	if (strcasecmp(attribute, "id") == 0)
		*kind = group ? BY_GROUP_ID : BY_USER_ID;
	else if (strcasecmp(attribute, "externalId") == 0)
		*kind = group ? BY_GROUP_EXTERNAL_ID : BY_USER_EXTERNAL_ID;
	else if (!group && strcasecmp(attribute, "userName") == 0)
		*kind = BY_USER_NAME;
	else if (group && strcasecmp(attribute, "displayName") == 0)
		*kind = BY_DISPLAY_NAME;
	else if (!group && (strcasecmp(attribute, "emails.value") == 0 || strcasecmp(attribute, WORK_EMAIL) == 0))
		*kind = BY_EMAIL;
	else
		return false;
	return true;
}

static bool
has_email(const Resource *res, const char *value, const char *type)
{
	json_t	   *doc = peer_document(res, false);
	json_t	   *email;
	size_t		i;
	bool		has = false;

	json_array_foreach(peer_get(doc, "emails", NULL), i, email)
	{
		const char *its_type = json_string_value(peer_get(email, "type", NULL));
		const char *its_value = json_string_value(peer_get(email, "value", NULL));

		has |= its_value && strcasecmp(its_value, value) == 0 && (!type || (its_type && strcasecmp(its_type, type) == 0));
	}
	json_decref(doc);
	return has;
}

static bool
holds(const Resource *res, const char *attribute, const char *value)
{
	IndexKind	kind;
	Resource  **found;
	int			n;

	if (strcasecmp(attribute, WORK_EMAIL) == 0)
		return has_email(res, value, "work");
	if (strcasecmp(attribute, "members") == 0)
		return res->members && json_object_get(res->members, value) != NULL;
	if (!term_index(attribute, res->group, &kind))
		return false;
	n = peer_lookup(kind, value, &found);
	for (int i = 0; i < n; i++)
		if (found[i] == res)
			return true;
	return false;
}

/*
 * The resources that a filter finds and that searches see already; *found is
 * malloc'd.  -1: no term has an index.
 */
int
peer_filter_run(const Filter *filter, bool group, Resource ***found)
{
	for (int i = 0; i < filter->n; i++)
	{
		IndexKind	kind;
		Resource  **items;
		int			n;
		int			kept = 0;

		if (!term_index(filter->attribute[i], group, &kind))
			continue;
		n = peer_lookup(kind, filter->value[i], &items);
		*found = peer_alloc((n + 1) * sizeof(Resource *));
		for (int j = 0; j < n; j++)
		{
			bool		all = items[j]->visible_at <= peer_now() && (kept == 0 || (*found)[kept - 1] != items[j]);

			for (int k = 0; all && k < filter->n; k++)
				if (k != i || kind == BY_EMAIL)
					all = holds(items[j], filter->attribute[k], filter->value[k]);
			if (all)
				(*found)[kept++] = items[j];
		}
		return kept;
	}
	return -1;
}

/* ---- paths ---- */

void
peer_path_free(Path *path)
{
	free(path->urn);
	free(path->attribute);
	free(path->key);
	free(path->sub);
	json_decref(path->value);
	memset(path, 0, sizeof(*path));
}

/*
 * "urn:…:2.0:User" alone names the extension as a whole: what is before the
 * last colon is a version, and versions end in a digit.
 */
static const char *
parse_urn(const char *text, Path *path)
{
	const char *end = text + strcspn(text, "[");
	const char *colon = end;

	while (colon > text && *colon != ':')
		colon--;
	if (colon == text || isdigit((unsigned char) colon[-1]))
	{
		path->urn = strndup(text, end - text);
		return end;
	}
	path->urn = strndup(text, colon - text);
	if (strcasecmp(path->urn, PEER_USER) == 0 || strcasecmp(path->urn, PEER_GROUP) == 0)
	{
		free(path->urn);
		path->urn = NULL;
	}
	return colon + 1;
}

bool
peer_path_parse(const char *text, Path *path)
{
	const char *at = text;
	size_t		length;

	memset(path, 0, sizeof(*path));
	if (strncasecmp(at, "urn:", 4) == 0)
	{
		at = parse_urn(at, path);
		if (*at == '\0')
			return path->urn != NULL;
	}
	length = name_length(at);
	if (length == 0)
		return false;
	path->attribute = strndup(at, length);
	at += length;
	if (*at == '[')
	{
		at++;
		length = name_length(at);
		if (length == 0 || strncmp(at + length, " eq ", 4) != 0)
			return false;
		path->key = strndup(at, length);
		path->value = leading_json(at + length + 4, &at);
		if (path->value == NULL || json_is_object(path->value) || json_is_array(path->value) || *at++ != ']')
			return false;
	}
	if (*at == '.')
	{
		at++;
		length = name_length(at);
		if (length == 0)
			return false;
		path->sub = strndup(at, length);
		at += length;
	}
	return *at == '\0';
}
