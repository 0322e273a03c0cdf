/*
 * peer_scim.c
 *		The SCIM endpoints: authority, content types, then Users, Groups, Bulk
 *		and discovery.
 */
#define _GNU_SOURCE

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "peer.h"

#define BULK_MAX	100

static void scim_request(Request *r);

/* ---- answers ---- */

void
peer_answer(Request *r, int status, const char *type, char *body, size_t length)
{
	free(r->answer.body);
	r->answer.status = status;
	r->answer.body = body;
	r->answer.length = length;
	snprintf(r->answer.type, sizeof(r->answer.type), "%s", type ? type : "");
}

/* value is taken over */
void
peer_answer_json(Request *r, int status, json_t *value)
{
	char	   *text = json_dumps(value, JSON_COMPACT);

	peer_answer(r, status, peer_settings.profile.content_type, text, strlen(text));
	json_decref(value);
}

void
peer_answer_error(Request *r, int status, const char *scim_type, const char *format,...)
{
	char		detail[512];
	va_list		args;
	json_t	   *body;

	va_start(args, format);
	vsnprintf(detail, sizeof(detail), format, args);
	va_end(args);
	if (peer_settings.profile.errors == ERRORS_ARRAY)
		body = json_pack("{s:[s]}", "errors", detail);
	else
		body = json_pack("{s:[s], s:s}", "schemas", PEER_ERROR, "detail", detail);
	if (peer_settings.profile.errors == ERRORS_SCIM)
	{
		json_object_set_new(body, "status", json_sprintf("%d", status));
		if (scim_type)
			json_object_set_new(body, "scimType", json_string(scim_type));
	}
	peer_answer_json(r, status, body);
}

void
peer_header(Request *r, const char *name, const char *format,...)
{
	char		value[512];
	va_list		args;

	va_start(args, format);
	vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	if (r->answer.headers == NULL)
		r->answer.headers = json_object();
	json_object_set_new(r->answer.headers, name, json_string(value));
}

static void
answer_method(Request *r)
{
	peer_answer_error(r, 405, NULL, "%s is not supported here", r->method);
}

static void
answer_unknown(Request *r)
{
	peer_answer_error(r, 404, NULL, "%s not found", r->path);
}

static void
etag(Request *r, const Resource *res)
{
	if (peer_settings.profile.etag)
		peer_header(r, "ETag", "W/\"%ld\"", res->version);
}

/* ---- what is asked for ---- */

/* Only the attributes asked for: "attributes", "excludedAttributes". */
static void
project(json_t *doc, const char *only, const char *without)
{
	char	   *list = peer_strdup(only ? only : without);
	const char *key;
	void	   *next;
	json_t	   *value;

	for (char *c = list; *c; c++)
		if (*c == ',')
			*c = ' ';
	json_object_foreach_safe(doc, next, key, value)
		if (!peer_listed("id schemas", key) && peer_listed(list, key) == (only == NULL))
			json_object_del(doc, key);
	free(list);
}

static char *
resource_text(Request *r, const Resource *res, size_t *length)
{
	const char *only = r->arg(r, "attributes");
	const char *without = r->arg(r, "excludedAttributes");
	json_t	   *doc;
	char	   *text;

	if (only == NULL && without == NULL)
		return peer_text(res, true, length);
	doc = peer_document(res, without == NULL || !peer_listed(without, "members"));
	project(doc, only, without);
	text = json_dumps(doc, JSON_COMPACT);
	json_decref(doc);
	*length = strlen(text);
	return text;
}

static void
answer_resource(Request *r, int status, const Resource *res)
{
	size_t		length;
	char	   *text;

	if (status == 204)
	{
		peer_answer(r, status, NULL, NULL, 0);
		return;
	}
	text = resource_text(r, res, &length);
	peer_answer(r, status, peer_settings.profile.content_type, text, length);
	etag(r, res);
}

/* Somebody who was not asked for. */
static const Resource *
stranger(bool group, const Resource *asked)
{
	static Resource nobody = {.id = "00000000-0000-4000-8000-000000000bad"};
	Resource  **all;
	long		n = peer_resources(group, &all);

	for (long i = 0; i < n; i++)
		if (all[i] != asked)
			return all[i];
	free(nobody.text);
	nobody.group = group;
	nobody.text = peer_format("{\"schemas\":[\"%s\"],\"id\":\"%s\",\"%s\":\"stranger\",\"active\":true}",
							  group ? PEER_GROUP : PEER_USER, nobody.id, group ? "displayName" : "userName");
	return &nobody;
}

static long
number_arg(Request *r, const char *name, long otherwise)
{
	const char *text = r->arg(r, name);

	return text && *text ? strtol(text, NULL, 10) : otherwise;
}

static void
list(Request *r, bool group)
{
	const Profile *profile = &peer_settings.profile;
	const char *filter_text = r->arg(r, "filter");
	long		start = number_arg(r, "startIndex", 1);
	long		count = number_arg(r, "count", profile->page_default);
	Resource  **found = NULL;
	Resource  **all;
	long		total;
	long		shown = 0;
	char	   *body;
	size_t		length;
	FILE	   *out;

	if (filter_text && !r->ignore_filter)
	{
		Filter		filter;
		const char *wrong = peer_filter_parse(filter_text, group, &filter);

		total = wrong ? 0 : peer_filter_run(&filter, group, &found);
		peer_filter_free(&filter);
		if (wrong || total < 0)
		{
			peer_answer_error(r, 400, "invalidFilter", "filter: %s", wrong ? wrong : "nothing to look up");
			return;
		}
		all = found;
		if (r->stranger)
		{
			found = realloc(found, sizeof(Resource *));
			found[0] = (Resource *) stranger(group, total ? found[0] : NULL);
			all = found;
			total = 1;
		}
	}
	else
	{
		total = peer_resources(group, &all);
		/* in order of creation: what cannot be seen yet is at the end */
		while (total > 0 && all[total - 1]->visible_at > peer_now())
			total--;
	}
	if (start < 1)
		start = 1;
	if (count < 0)
		count = 0;
	if (count > profile->page_max)
		count = profile->page_max;
	if (!profile->paging)
	{
		start = 1;
		count = total;
	}

	out = open_memstream(&body, &length);
	fprintf(out, "{\"schemas\":[\"%s\"],\"totalResults\":%ld,\"Resources\":[", PEER_LIST, total);
	for (long i = start - 1; i < total && shown < count; i++, shown++)
	{
		size_t		size;
		char	   *text = resource_text(r, all[i], &size);

		if (shown > 0)
			fputc(',', out);
		fwrite(text, 1, size, out);
		free(text);
	}
	fputc(']', out);
	if (profile->paging)
		fprintf(out, ",\"startIndex\":%ld,\"itemsPerPage\":%ld", start, shown);
	fputc('}', out);
	fclose(out);
	peer_answer(r, 200, profile->content_type, body, length);
	free(found);
}

static void
get(Request *r, const Resource *res)
{
	const char *match = r->header(r, "If-None-Match");

	if (r->stranger)
		res = stranger(res->group, res);
	if (peer_settings.profile.etag && match && strtol(match + strcspn(match, "0123456789"), NULL, 10) == res->version)
	{
		peer_answer(r, 304, NULL, NULL, 0);
		etag(r, res);
		return;
	}
	answer_resource(r, 200, res);
}

/* ---- writes ---- */

/*
 * Remember what is written until the answer has gone, to see overlaps.  A
 * client that has hung up has given up its request, and may send another.
 */
static void
writes(Request *r, Resource *res)
{
	if (r->writes != NULL)
		return;
	r->overlaps = res->writer && peer_connected(res->writer);
	if (r->overlaps)
		peer_stats.overlaps++;
	r->writes = res;
	res->writer = r;
}

/* The answer has gone, or never will. */
void
peer_written(Request *r)
{
	if (r->writes && r->writes->writer == r)
		r->writes->writer = NULL;
}

/* The body, if it is an object; else the error has been answered. */
static json_t *
read_object(Request *r)
{
	json_error_t error;
	json_t	   *value = json_loadb(r->body ? r->body : "", r->length, 0, &error);

	if (json_is_object(value))
		return value;
	json_decref(value);
	peer_answer_error(r, 400, "invalidSyntax", "the body is not a JSON object: %s", value ? "another type" : error.text);
	return NULL;
}

static void
answer_edit(Request *r, const Edit *edit)
{
	peer_answer_error(r, edit->status, edit->scim_type, "%s", edit->error);
}

/* Does another resource have this document's name?  Then 409 is answered. */
static bool
taken(Request *r, const Edit *edit, const Resource *self)
{
	const char *attribute = edit->group ? "displayName" : "userName";
	const char *name = json_string_value(peer_get(edit->doc, attribute, NULL));
	Resource  **found;
	int			n = peer_lookup(edit->group ? BY_DISPLAY_NAME : BY_USER_NAME, name, &found);

	if (!peer_settings.unique || n == 0 || (n == 1 && found[0] == self))
		return false;
	writes(r, found[0] == self ? found[1] : found[0]);
	peer_answer_error(r, 409, "uniqueness", "%s \"%s\" is taken", attribute, name);
	return true;
}

/* externalId becomes the id; false: that cannot be, and is answered. */
static bool
external_id(Request *r, Edit *edit)
{
	json_t	   *id = peer_get(edit->doc, "externalId", NULL);
	size_t		length = json_string_length(id);

	if (length == 0 || length >= sizeof(((Resource *) NULL)->id))
		peer_answer_error(r, 400, "invalidValue", "externalId is missing or too long");
	else if (peer_find(edit->group, json_string_value(id)))
		peer_answer_error(r, 409, "uniqueness", "externalId is taken");
	else
		return json_object_set(edit->doc, "id", id) == 0;
	return false;
}

static void
create(Request *r, bool group)
{
	Edit		edit = {.group = group, .strict = true};
	json_t	   *members = NULL;
	Resource   *res;

	if ((edit.doc = read_object(r)) == NULL)
		return;
	json_object_del(edit.doc, "id");
	json_object_del(edit.doc, "meta");
	if (group)
	{
		const char *spelled;
		json_t	   *array = peer_get(edit.doc, "members", &spelled);

		members = edit.members = peer_members_object(&edit, array);
		json_object_del(edit.doc, spelled);
	}
	if ((group && members == NULL) || !peer_check(&edit, NULL))
		answer_edit(r, &edit);
	else if ((!peer_settings.profile.external_ids || external_id(r, &edit)) && !taken(r, &edit, NULL))
	{
		res = peer_create(group, json_incref(edit.doc), json_incref(members), &r->created_twice);
		r->applied = true;
		writes(r, res);
		peer_stats.creates++;
		if (r->created_twice)
		{
			peer_stats.duplicate_creates++;
			if (json_array_size(peer_stats.duplicates) < 100)
				json_array_append(peer_stats.duplicates, peer_get(edit.doc, group ? "displayName" : "userName", NULL));
		}
		answer_resource(r, 201, res);
		peer_header(r, "Location", "%s/%ss/%s", peer_settings.location, group ? "Group" : "User", res->id);
	}
	json_decref(edit.doc);
	json_decref(members);
}

/* A user who is gone is in no group. */
static void
remove_resource(Resource *res)
{
	Resource  **all;
	long		n = peer_resources(true, &all);

	for (long i = 0; i < n; i++)
		json_object_del(all[i]->members, res->id);
	peer_remove(res);
}

/* Make the edit the resource's state, and answer. */
static void
finish(Request *r, Resource *res, Edit *edit, int status)
{
	bool		disabled = json_is_false(peer_get(edit->doc, "active", NULL));

	res->members = edit->members;
	peer_replace(res, json_incref(edit->doc));
	r->applied = true;
	answer_resource(r, status, res);
	if (disabled && !res->group && peer_settings.profile.disable_removes)
		remove_resource(res);
}

static bool
precondition(Request *r, const Resource *res)
{
	const char *match = r->header(r, "If-Match");

	if (!peer_settings.profile.etag || match == NULL || strcmp(match, "*") == 0 ||
		strtol(match + strcspn(match, "0123456789"), NULL, 10) == res->version)
		return true;
	peer_answer_error(r, 412, NULL, "the resource has changed: it is at version %ld", res->version);
	return false;
}

static void
put(Request *r, Resource *res)
{
	PutMode		mode = res->group ? peer_settings.profile.put_group : peer_settings.profile.put_user;
	Edit		edit = {.group = res->group, .strict = true};
	json_t	   *old;
	json_t	   *sent;
	json_t	   *array;
	json_t	   *members = NULL;

	if (mode == PUT_NONE || mode == PUT_HTML)
	{
		static const char page[] = "<!DOCTYPE html><html><title>Error 404 (Not Found)!!1</title><p>The requested URL was not found.</html>";

		if (mode == PUT_NONE)
			answer_method(r);
		else
			peer_answer(r, 404, "text/html; charset=UTF-8", peer_strdup(page), strlen(page));
		return;
	}
	if (!precondition(r, res) || (sent = read_object(r)) == NULL)
		return;
	old = peer_document(res, false);
	array = json_incref(peer_get(sent, "members", NULL));
	json_object_del(sent, "members");
	json_object_del(sent, "id");
	edit.doc = mode == PUT_MERGE ? json_deep_copy(old) : json_object();
	json_object_update(edit.doc, sent);
	json_object_set(edit.doc, "meta", json_object_get(old, "meta"));
	if (res->group)
		members = edit.members = array == NULL && mode == PUT_MERGE ? json_incref(res->members) : peer_members_object(&edit, array);
	if ((res->group && members == NULL) || !peer_check(&edit, old))
		answer_edit(r, &edit);
	else if (!taken(r, &edit, res))
	{
		json_t	   *before = res->members;

		json_incref(members);
		finish(r, res, &edit, 200);
		json_decref(before);
	}
	json_decref(members);
	json_decref(array);
	json_decref(sent);
	json_decref(old);
	json_decref(edit.doc);
}

static void
patch(Request *r, Resource *res)
{
	const Profile *profile = &peer_settings.profile;
	Edit		edit = {.group = res->group, .members = res->members, .strict = true};
	json_t	   *body;
	json_t	   *old;

	if (!precondition(r, res) || (body = read_object(r)) == NULL)
		return;
	old = peer_document(res, false);
	edit.doc = json_deep_copy(old);
	if (!peer_patch(&edit, peer_get(body, "Operations", NULL)) || !peer_check(&edit, old))
	{
		peer_patch_undo(&edit);
		answer_edit(r, &edit);
	}
	else if (taken(r, &edit, res))
		peer_patch_undo(&edit);
	else
		finish(r, res, &edit, res->group ? profile->patch_group : profile->patch_user);
	json_decref(edit.kept);
	json_decref(edit.undo);
	json_decref(edit.doc);
	json_decref(old);
	json_decref(body);
}

static void
delete(Request *r, Resource *res)
{
	DeleteMeans means = peer_settings.profile.delete_means;

	if (means == DELETE_NONE && !res->group)
	{
		answer_method(r);
		return;
	}
	if (!precondition(r, res))
		return;
	if (means == DELETE_DISABLES && !res->group)
	{
		json_t	   *doc = peer_document(res, false);

		json_object_set_new(doc, "active", json_false());
		peer_replace(res, doc);
	}
	else
		remove_resource(res);
	r->applied = true;
	peer_answer(r, 204, NULL, NULL, 0);
}

static void
resources(Request *r, bool group, const char *id)
{
	Resource   *res;

	if (*id == '\0')
	{
		if (strcmp(r->method, "GET") == 0)
			list(r, group);
		else if (strcmp(r->method, "POST") == 0)
			create(r, group);
		else
			answer_method(r);
		return;
	}
	res = peer_find(group, id);
	if (res == NULL)
	{
		answer_unknown(r);
		return;
	}
	if (strcmp(r->method, "GET") == 0)
	{
		get(r, res);
		return;
	}
	writes(r, res);
	if (strcmp(r->method, "PUT") == 0)
		put(r, res);
	else if (strcmp(r->method, "PATCH") == 0)
		patch(r, res);
	else if (strcmp(r->method, "DELETE") == 0)
		delete(r, res);
	else
		answer_method(r);
}

/* ---- Bulk (RFC 7644 3.7) ---- */

/* text with each "bulkId:name" as the id that it got; malloc'd */
static char *
resolve(const char *text, const json_t *ids)
{
	char	   *body;
	size_t		length;
	FILE	   *out = open_memstream(&body, &length);

	while (*text)
	{
		size_t		n = strncmp(text, "bulkId:", 7) == 0 ? strcspn(text + 7, "\"/?") : 0;
		char	   *name = strndup(text + 7 * (n > 0), n);
		const char *id = n ? json_string_value(json_object_get(ids, name)) : NULL;

		if (id)
			fputs(id, out);
		else
			fputc(*text, out);
		text += id ? 7 + n : 1;
		free(name);
	}
	fclose(out);
	return body;
}

static const char *
no_arg(const Request *r, const char *name)
{
	(void) r;
	(void) name;
	return NULL;
}

static void
bulk(Request *r)
{
	json_t	   *body = read_object(r);
	json_t	   *operations = peer_get(body, "Operations", NULL);
	json_t	   *results = json_array();
	json_t	   *ids = json_object();
	json_t	   *operation;
	size_t		i;

	if (body && (!json_is_array(operations) || json_array_size(operations) > BULK_MAX))
		peer_answer_error(r, json_is_array(operations) ? 413 : 400, NULL, "Operations must be an array of at most %d", BULK_MAX);
	else if (body)
	{
		json_array_foreach(operations, i, operation)
		{
			const char *method = json_string_value(peer_get(operation, "method", NULL));
			const char *path = json_string_value(peer_get(operation, "path", NULL));
			const char *bulk_id = json_string_value(peer_get(operation, "bulkId", NULL));
			json_t	   *data = peer_get(operation, "data", NULL);
			char	   *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
			Request		one = {.header = no_arg, .arg = no_arg};
			json_t	   *result;

			one.method = method ? method : "";
			one.path = resolve(path ? path : "", ids);
			one.body = text ? resolve(text, ids) : NULL;
			one.length = one.body ? strlen(one.body) : 0;
			scim_request(&one);
			peer_written(&one);
			if (bulk_id && one.answer.status == 201)
				json_object_set_new(ids, bulk_id, json_string(one.writes->id));
			result = json_pack("{s:s, s:s*, s:o}", "method", one.method, "bulkId", bulk_id,
							   "status", json_sprintf("%d", one.answer.status));
			if (one.writes && one.answer.status < 300)
				json_object_set_new(result, "location", json_sprintf("%s/%ss/%s", peer_settings.location,
																	 one.writes->group ? "Group" : "User", one.writes->id));
			if (one.answer.status >= 300 && one.answer.body)
				json_object_set_new(result, "response", json_loads(one.answer.body, 0, NULL));
			json_array_append_new(results, result);
			r->applied |= one.applied;
			r->created_twice |= one.created_twice;
			json_decref(one.answer.headers);
			free(one.answer.body);
			free((char *) one.path);
			free(one.body);
			free(text);
		}
		peer_answer_json(r, 200, json_pack("{s:[s], s:O}", "schemas", "urn:ietf:params:scim:api:messages:2.0:BulkResponse",
										   "Operations", results));
	}
	json_decref(results);
	json_decref(ids);
	json_decref(body);
}

/* ---- discovery ---- */

static void
config(Request *r)
{
	const Profile *profile = &peer_settings.profile;
	json_t	   *body = json_pack("{s:[s], s:{s:b}, s:{s:b}, s:{s:b, s:i}, s:{s:b}, s:{s:b}, s:{s:b}, s:[{s:s, s:s, s:s}]}",
								 "schemas", "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig",
								 "patch", "supported", 1,
								 "bulk", "supported", (int) profile->bulk,
								 "filter", "supported", 1, "maxResults", profile->page_max,
								 "changePassword", "supported", 0,
								 "sort", "supported", 0,
								 "etag", "supported", (int) profile->etag,
								 "authenticationSchemes", "type", "oauthbearertoken", "name", "OAuth Bearer Token",
								 "description", "a token in the Authorization header");

	if (profile->bulk)
		json_object_update_new(json_object_get(body, "bulk"), json_pack("{s:i, s:i}", "maxOperations", BULK_MAX,
																		"maxPayloadSize", 1048576));
	peer_answer_json(r, 200, body);
}

static void
resource_types(Request *r)
{
	json_t	   *types = json_array();

	for (int group = 0; group <= peer_settings.profile.groups; group++)
		json_array_append_new(types, json_pack("{s:[s], s:s, s:s, s:s, s:s}",
											   "schemas", "urn:ietf:params:scim:schemas:core:2.0:ResourceType",
											   "id", group ? "Group" : "User", "name", group ? "Group" : "User",
											   "endpoint", group ? "/Groups" : "/Users", "schema", group ? PEER_GROUP : PEER_USER));
	peer_answer_json(r, 200, json_pack("{s:[s], s:i, s:i, s:i, s:o}", "schemas", PEER_LIST, "totalResults", (int) json_array_size(types),
									   "startIndex", 1, "itemsPerPage", (int) json_array_size(types), "Resources", types));
}

/* ---- the door ---- */

/* Where an endpoint's path ends, "" or what follows "/"; NULL: another one. */
static const char *
under(const char *path, const char *endpoint)
{
	size_t		length = strlen(endpoint);

	if (strncmp(path, endpoint, length) != 0 || (path[length] != '/' && path[length] != '\0'))
		return NULL;
	return path[length] ? path + length + 1 : "";
}

/* POST /oauth/token, RFC 6749 4.4: the latest token is the only one. */
void
peer_token(Request *r)
{
	static long number;
	const char *authorization = r->header(r, "Authorization");
	const char *type = r->header(r, "Content-Type");

	if (strcmp(r->method, "POST") != 0 || type == NULL || strcmp(type, "application/x-www-form-urlencoded") != 0 ||
		r->body == NULL || strncmp(r->body, "grant_type=client_credentials", 29) != 0)
	{
		peer_answer_json(r, 400, json_pack("{s:s}", "error", "invalid_request"));
		return;
	}
	if (authorization == NULL || strcmp(authorization, peer_settings.token_basic) != 0)
	{
		peer_answer_json(r, 401, json_pack("{s:s}", "error", "invalid_client"));
		return;
	}
	free(peer_settings.token);
	peer_settings.token = peer_format("token-%ld", ++number);
	peer_settings.token_until = peer_now() + peer_settings.token_ttl * 1000;
	peer_answer_json(r, 200, json_pack("{s:s, s:s, s:I}", "access_token", peer_settings.token, "token_type", "Bearer",
									   "expires_in", (json_int_t) peer_settings.token_ttl));
}

static bool
let_in(Request *r)
{
	const Profile *profile = &peer_settings.profile;
	const char *authorization = r->header(r, "Authorization");
	const char *accept = r->header(r, "Accept");
	const char *type = r->header(r, "Content-Type");

	/* before the first token: by user and password */
	if (peer_settings.token == NULL && peer_settings.token_basic &&
		(authorization == NULL || strcmp(authorization, peer_settings.token_basic) != 0))
	{
		peer_answer_error(r, 401, NULL, "Unauthorized");
		return false;
	}
	if (peer_settings.token && (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0))
	{
		peer_answer_error(r, 401, NULL, "Unauthorized");
		peer_header(r, "WWW-Authenticate", "Bearer");
		return false;
	}
	if (peer_settings.token && (strcmp(authorization + 7, peer_settings.token) != 0 ||
								(peer_settings.token_until > 0 && peer_settings.token_until < peer_now())))
	{
		peer_answer_error(r, profile->wrong_token, NULL, profile->wrong_token == 403 ? "Forbidden" : "Unauthorized");
		return false;
	}
	if (profile->needs_agent && (r->header(r, "User-Agent") == NULL || *r->header(r, "User-Agent") == '\0'))
	{
		peer_answer_error(r, 403, NULL, "Request forbidden by administrative rules. A User-Agent header is required.");
		return false;
	}
	if (profile->needs_accept && (accept == NULL || strstr(accept, profile->needs_accept) == NULL))
	{
		peer_answer_error(r, 406, NULL, "Accept must name %s", profile->needs_accept);
		return false;
	}
	if (r->length > 0)
	{
		char	   *plain = type ? strndup(type, strcspn(type, "; ")) : peer_strdup("");
		bool		good = peer_listed(profile->accepts, plain);

		free(plain);
		if (!good)
		{
			peer_answer_error(r, 415, NULL, "Unsupported media type \"%.60s\" in request.", type ? type : "");
			return false;
		}
	}
	return true;
}

static void
scim_request(Request *r)
{
	const Profile *profile = &peer_settings.profile;
	const char *rest;

	if ((rest = under(r->path, "/Users")) != NULL)
		resources(r, false, rest);
	else if (profile->groups && (rest = under(r->path, "/Groups")) != NULL)
		resources(r, true, rest);
	else if (profile->bulk && strcmp(r->path, "/Bulk") == 0 && strcmp(r->method, "POST") == 0)
		bulk(r);
	else if (strcmp(r->path, profile->config) == 0 && strcmp(r->method, "GET") == 0)
		config(r);
	else if (strcmp(r->path, "/ResourceTypes") == 0 && strcmp(r->method, "GET") == 0)
		resource_types(r);
	else
		answer_unknown(r);
}

void
peer_scim(Request *r)
{
	if (let_in(r))
		scim_request(r);
}
