/*
 * core_path.c
 *		Attribute paths (RFC 7644 3.5.2, 3.10).
 *
 *	PATH = attrPath / attrPath "[" filter "]" ["." subAttr]
 *	attrPath = [URI ":"] ATTRNAME ["." ATTRNAME]
 *
 * A schema URI holds colons and dots itself, so it is not split off by looking
 * for one but by comparing with the URIs of the type, the longest first.
 */
#include <string.h>

#include "core_filter_internal.h"
#include "core_path.h"

/* The filter in brackets has its own, smaller limit. */
#define MAX_PATH_LENGTH (2 * SCIM_FILTER_MAX_LENGTH)

/* Compat: the one attribute of this name among all extensions. */
static ScimAttr *
bare_extension_attr(const ScimResourceType *type, const char *name, size_t len)
{
	ScimAttr   *found = NULL;

	for (int i = 0; i < type->nexts; i++)
	{
		ScimAttr   *attr = scim_type_attr(type, i, name, len);

		if (attr != NULL && found != NULL)
			return NULL;
		if (attr != NULL)
			found = attr;
	}
	return found;
}

size_t
scim_path_resolve(const ScimResourceType *type, const char *text, size_t len, ScimMode mode, ScimPath *path)
{
	int			ext = SCIM_EXT_CORE;
	size_t		pos = scim_type_match_uri(type, text, len, &ext);
	size_t		n;

	memset(path, 0, sizeof(*path));
	path->ext = ext;
	if (pos > 0 && pos == len)
		return len;
	if (pos > 0)
		pos++;
	n = scim_attrname_length(text + pos, len - pos);
	if (n == 0)
		return 0;
	path->attr = scim_type_attr(type, ext, text + pos, n);
	if (path->attr == NULL && pos == 0 && mode == SCIM_COMPAT)
		path->attr = bare_extension_attr(type, text, n);
	if (path->attr == NULL)
		return 0;
	path->ext = path->attr->ext;
	pos += n;
	if (pos < len && text[pos] == '.')
	{
		n = scim_attrname_length(text + pos + 1, len - pos - 1);
		path->sub = n > 0 ? scim_attr_sub(path->attr, text + pos + 1, n) : NULL;
		if (path->sub == NULL)
			return 0;
		pos += 1 + n;
	}
	return pos;
}

static bool
malformed(ScimError *err, size_t pos, const char *what)
{
	return scim_fail_at(err, 400, SCIM_INVALID_PATH, (int) pos, "malformed path: %s", what);
}

/* Why scim_path_resolve() found nothing. */
static bool
unresolved(const char *text, size_t len, ScimError *err)
{
	ScimFilterLexer lexer;
	ScimFilterName name;

	lexer.text = text;
	lexer.pos = 0;
	lexer.end = len;
	lexer.mode = SCIM_STRICT;
	lexer.err = err;
	if (!scim_lex_name(&lexer, &name))
		return malformed(err, 0, "an attribute name is expected");
	if (lexer.pos < len && text[lexer.pos] != '[')
		return malformed(err, lexer.pos, "unexpected character after the attribute name");
	return scim_fail_at(err, 400, SCIM_INVALID_PATH, 0, "the path names the unknown attribute \"%.*s\"",
						(int) (name.len < 120 ? name.len : 120), text);
}

/*
 * The bracket that closes the one at "open"; len: there is none.  Brackets in
 * strings do not count.
 */
static size_t
closing_bracket(const char *text, size_t len, size_t open)
{
	bool		in_string = false;
	int			depth = 0;

	for (size_t i = open; i < len; i++)
	{
		if (in_string)
		{
			if (text[i] == '\\')
				i++;
			else if (text[i] == '"')
				in_string = false;
		}
		else if (text[i] == '"')
			in_string = true;
		else if (text[i] == '[')
			depth++;
		else if (text[i] == ']' && --depth == 0)
			return i;
	}
	return len;
}

/* "[filter]" and what follows; "open" is where the bracket stands. */
static bool
parse_value_path(const ScimResourceType *type, const char *text, size_t len, size_t open,
				 ScimMode mode, ScimPath *path, ScimError *err)
{
	char		what[SCIM_DETAIL_SIZE];
	size_t		close = closing_bracket(text, len, open);
	size_t		n;

	if (close >= len)
		return malformed(err, open, "a bracket is not closed");
	if (path->attr == NULL || path->sub != NULL)
		return malformed(err, open, "brackets follow an attribute without sub-attribute");
	if (!path->attr->multi || (path->attr->type != SCIM_TYPE_COMPLEX && mode == SCIM_STRICT))
		return scim_fail_at(err, 400, SCIM_INVALID_PATH, (int) open, "attribute \"%s\" takes no filter",
							scim_attr_path(type, path->attr, what, sizeof(what)));
	path->filter = scim_filter_parse_value(text, open + 1, close, mode, err);
	if (path->filter == NULL || !scim_filter_bind_value(type, path->attr, path->filter, mode, err))
		return false;

	if (close + 1 == len)
		return true;
	if (text[close + 1] != '.')
		return malformed(err, close + 1, "\".\" or the end is expected after the bracket");
	n = scim_attrname_length(text + close + 2, len - close - 2);
	if (n == 0 || close + 2 + n < len)
		return malformed(err, close + 2, "the name of a sub-attribute is expected");
	path->sub = scim_attr_sub(path->attr, text + close + 2, n);
	if (path->sub == NULL)
		return scim_fail_at(err, 400, SCIM_INVALID_PATH, (int) (close + 2),
							"the path names the unknown sub-attribute \"%.*s\"",
							(int) (n < 120 ? n : 120), text + close + 2);
	return true;
}

ScimPath *
scim_path_parse(const ScimResourceType *type, const char *text, size_t len, ScimMode mode, ScimError *err)
{
	ScimPath   *path = scim_alloc0(sizeof(ScimPath));
	size_t		pos;
	bool		ok;

	if (path == NULL)
	{
		scim_fail_memory(err);
		return NULL;
	}
	if (len > MAX_PATH_LENGTH)
	{
		scim_fail_at(err, 400, SCIM_INVALID_PATH, MAX_PATH_LENGTH, "a path is longer than %d bytes", MAX_PATH_LENGTH);
		return NULL;
	}
	pos = scim_path_resolve(type, text, len, mode, path);
	if (pos == 0)
		ok = unresolved(text, len, err);
	else if (pos == len)
		ok = true;
	else if (text[pos] == '[')
		ok = parse_value_path(type, text, len, pos, mode, path, err);
	else
		ok = malformed(err, pos, "unexpected character after the attribute name");
	return ok ? path : NULL;
}
