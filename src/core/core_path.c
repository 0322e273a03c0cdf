/*
 * core_path.c
 *		Attribute paths -> attributes (RFC 7644 3.5.2, 3.10).
 *
 * One resolver serves PATCH paths, filters, sortBy, attributes= and mappings,
 * so that an attribute has the same names everywhere.
 */
#include <string.h>

#include "core_filter_internal.h"
#include "core_path.h"

/* "name" or "name.sub" in one part of the type; false: unknown. */
static bool
resolve_in(const ScimResourceType *type, int ext, const char *text, size_t len, ScimPath *path)
{
	const char *dot = memchr(text, '.', len);
	size_t		n = dot ? (size_t) (dot - text) : len;
	ScimAttr   *attr = scim_type_attr(type, ext, text, n);

	if (attr == NULL)
		return false;
	path->ext = ext;
	path->attr = attr;
	path->sub = NULL;
	if (dot == NULL)
		return true;
	path->sub = scim_attr_sub(attr, dot + 1, len - n - 1);
	return path->sub != NULL;
}

size_t
scim_path_resolve(const ScimResourceType *type, const char *text, size_t len,
				  ScimMode mode, ScimPath *path)
{
	size_t		n = scim_filter_name_length(text, len);
	size_t		uri;
	int			ext = SCIM_EXT_CORE;
	int			found = 0;
	ScimPath	candidate;

	memset(path, 0, sizeof(*path));
	path->ext = SCIM_EXT_CORE;
	if (n == 0)
		return 0;
	uri = scim_type_match_uri(type, text, n, &ext);
	if (uri == n)
	{
		path->ext = ext;
		return n;
	}
	if (uri > 0)
		return resolve_in(type, ext, text + uri + 1, n - uri - 1, path) ? n : 0;
	if (resolve_in(type, SCIM_EXT_CORE, text, n, path))
		return n;
	path->attr = path->sub = NULL;
	if (mode != SCIM_COMPAT || memchr(text, ':', n))
		return 0;

	/* an extension's attribute by its bare name, if only one has it */
	for (int i = 0; i < type->nexts; i++)
	{
		memset(&candidate, 0, sizeof(candidate));
		if (resolve_in(type, i, text, n, &candidate))
		{
			*path = candidate;
			found++;
		}
	}
	if (found == 1)
		return n;
	memset(path, 0, sizeof(*path));
	path->ext = SCIM_EXT_CORE;
	return 0;
}

static ScimPath *
fail_path(ScimError *err, size_t pos, const char *problem)
{
	scim_fail_at(err, 400, SCIM_INVALID_PATH, (int) pos, "path: %s", problem);
	return NULL;
}

/* The "]" that closes the bracket at "open", strings skipped; len: none. */
static size_t
closing_bracket(const char *text, size_t len, size_t open)
{
	size_t		i = open + 1;
	bool		quoted = false;

	for (; i < len; i++)
	{
		if (quoted && text[i] == '\\')
			i++;
		else if (text[i] == '"')
			quoted = !quoted;
		else if (text[i] == ']' && !quoted)
			return i;
	}
	return len;
}

static ScimPath *
parse_path(const ScimResourceType *type, const char *text, size_t len, ScimMode mode, ScimError *err)
{
	ScimPath   *path = scim_alloc0(sizeof(ScimPath));
	size_t		pos = 0;
	size_t		n;
	size_t		close;

	if (path == NULL)
	{
		scim_fail_memory(err);
		return NULL;
	}
	if (len == 0)
		return fail_path(err, 0, "is empty");
	if (len > SCIM_FILTER_MAX_LENGTH)
		return fail_path(err, SCIM_FILTER_MAX_LENGTH, "is too long");
	if (mode == SCIM_COMPAT)
	{
		while (pos < len && text[pos] == ' ')
			pos++;
		while (len > pos && text[len - 1] == ' ')
			len--;
	}
	n = scim_path_resolve(type, text + pos, len - pos, mode, path);
	if (n == 0)
		return fail_path(err, pos, "names no attribute");
	pos += n;
	if (pos == len)
		return path;

	if (text[pos] != '[')
		return fail_path(err, pos, "\"[\" or the end is expected");
	if (path->attr == NULL || path->sub != NULL)
		return fail_path(err, pos, "a value filter follows an attribute");
	/* a singular attribute has no values to choose from */
	if (!path->attr->multi)
		return fail_path(err, pos, "a value filter follows a multi-valued attribute");
	close = closing_bracket(text, len, pos);
	if (close == len)
		return fail_path(err, pos, "\"]\" is missing");
	path->filter = scim_filter_parse_inner(text + pos + 1, close - pos - 1, (int) pos + 1, mode, err);
	if (path->filter == NULL || !scim_filter_bind_value(type, path->attr, path->filter, mode, err))
		return NULL;
	pos = close + 1;
	if (pos == len)
		return path;

	if (text[pos] != '.')
		return fail_path(err, pos, "\".\" and a sub-attribute or the end is expected");
	pos++;
	path->sub = scim_attr_sub(path->attr, text + pos, len - pos);
	if (path->sub == NULL)
		return fail_path(err, pos, "names no sub-attribute");
	return path;
}

ScimPath *
scim_path_parse(const ScimResourceType *type, const char *text, size_t len,
				ScimMode mode, ScimError *err)
{
	ScimCoreFrame frame;
	ScimPath   *path;

	scim_core_enter(&frame);
	path = parse_path(type, text, len, mode, err);
	scim_core_leave(&frame);
	return path;
}
