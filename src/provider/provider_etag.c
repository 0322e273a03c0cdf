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
	const char *p = header + strspn(header, " \t");
	const char *v = version;
	const char *opaque,
			   *own;
	size_t		len,
				own_len;
	bool		found = false;

	if (*p == '*')
		return p[1 + strspn(p + 1, " \t")] == '\0';
	if (!next_tag(&v, &own, &own_len))
		return false;
	/* an element of a list may be empty (RFC 9110 5.6.1.2) */
	for (p += strspn(p, ", \t"); *p; p += strspn(p, ", \t"))
	{
		if (!next_tag(&p, &opaque, &len))
			return false;
		found = found || (len == own_len && memcmp(opaque, own, len) == 0);
		p += strspn(p, " \t");
		if (*p != ',' && *p != '\0')
			return false;
	}
	return found;
}

/* If-Match; what follows from If-None-Match depends on the method. */
static bool
is_wanted_version(ScimCall *call, const char *version)
{
	const ScimRequest *request = call->request;

	if (request->if_match && !matches(request->if_match, version))
		return scim_fail(&call->err, 412, NULL, "the resource has changed: its version is not the one in If-Match");
	return true;
}

bool
scim_etag_write_allowed(ScimCall *call, const char *version)
{
	const ScimRequest *request = call->request;

	if (!is_wanted_version(call, version))
		return false;
	if (request->if_none_match && matches(request->if_none_match, version))
		return scim_fail(&call->err, 412, NULL, "the resource exists in the version that If-None-Match excludes");
	return true;
}

/* If-Match comes first (RFC 9110 13.2.2). */
bool
scim_etag_read_allowed(ScimCall *call, const char *version, bool *not_modified)
{
	const ScimRequest *request = call->request;

	*not_modified = request->if_none_match && matches(request->if_none_match, version);
	return is_wanted_version(call, version);
}
