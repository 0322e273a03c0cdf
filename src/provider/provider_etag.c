/*
 * provider_etag.c
 *		Conditional requests (RFC 7644 3.14, RFC 9110 13).
 *
 * SCIM's tags are weak, and so is the comparison, also for If-Match: a strong
 * one could never match.  What is no list of entity tags matches nothing, so
 * that a malformed If-Match never lets a write through.
 */
#include "postgres.h"

#include "provider_internal.h"

/* The opaque part of a tag at *p ("..." or W/"..."); false: no tag there. */
static bool
next_tag(const char **p, const char **opaque, size_t *len)
{
	const char *s = *p;
	const char *end;

	while (*s == ' ' || *s == '\t' || *s == ',')
		s++;
	if (s[0] == 'W' && s[1] == '/')
		s += 2;
	if (*s != '"')
		return false;
	end = strchr(s + 1, '"');
	if (end == NULL)
		return false;
	*opaque = s + 1;
	*len = end - s - 1;
	*p = end + 1;
	return true;
}

/* Does a list of tags, or "*", hold this version? */
static bool
matches(const char *header, const char *version)
{
	const char *p = header;
	const char *v = version;
	const char *opaque,
			   *own;
	size_t		len,
				own_len;

	while (*p == ' ' || *p == '\t')
		p++;
	if (*p == '*')
		return p[1 + strspn(p + 1, " \t")] == '\0';
	if (!next_tag(&v, &own, &own_len))
		return false;
	while (next_tag(&p, &opaque, &len))
		if (len == own_len && memcmp(opaque, own, len) == 0)
			return true;
	return false;
}

bool
scim_etag_write_allowed(ScimCall *call, const char *version)
{
	const ScimRequest *request = call->request;

	if (request->if_match && !matches(request->if_match, version))
		return scim_fail(&call->err, 412, NULL, "the resource has changed: its version is not the one in If-Match");
	if (request->if_none_match && matches(request->if_none_match, version))
		return scim_fail(&call->err, 412, NULL, "the resource exists in the version that If-None-Match excludes");
	return true;
}

bool
scim_etag_not_modified(const ScimCall *call, const char *version)
{
	return call->request->if_none_match && matches(call->request->if_none_match, version);
}
