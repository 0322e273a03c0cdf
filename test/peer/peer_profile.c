/*
 * peer_profile.c
 *		What SCIM services of products do differently, one row each.
 *
 * A row starts from COMMON, which is a service that keeps to the RFCs, and says
 * what is different; nothing else in the peer asks which product it is.  Where
 * a vendor's documents leave something open, the row has the stricter or the
 * nastier reading, because that is what a client must survive.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "peer.h"

#define COMMON \
	.base = "/scim/v2", \
	.errors = ERRORS_SCIM, \
	.wrong_token = 401, \
	.content_type = "application/scim+json", \
	.accepts = "application/scim+json application/json", \
	.config = "/ServiceProviderConfig", \
	.user_filter = "userName externalId id emails.value", \
	.group_filter = "displayName externalId id id+members", \
	.paging = true, \
	.page_default = 100, \
	.page_max = 1000, \
	.value_paths = true, \
	.patch_user = 200, \
	.patch_group = 204, \
	.groups = true, \
	.members_exist = true, \
	.members_set = true, \
	.period = 60

/* Rows override what COMMON has set; that is how this table works. */
#pragma GCC diagnostic ignored "-Woverride-init"

static const Profile profiles[] = {
	{COMMON, .name = "generic",
		.filter_and = true, .etag = true, .bulk = true,
	},
	{COMMON, .name = "datadog",
		.base = "/api/v2/scim", .errors = ERRORS_ARRAY, .wrong_token = 403,
		.content_type = "application/json", .accepts = "application/json application/scim+json",
		.user_filter = "userName", .group_filter = "displayName externalId id+members",
		.user_attributes = "userName active title name.formatted emails.primary emails.type emails.value roles",
		.group_attributes = "displayName externalId members",
		.email_types = "work", .lower_ops = true, .patch_group = 200,
		.delete_means = DELETE_DISABLES, .location = "https://app.datadoghq.com/scim/v2",
		.rate = 300, .period = 10, .limit = LIMIT_X_RATELIMIT,
	},
	{COMMON, .name = "aws",
		.user_filter = "userName externalId id", .filter_and = true,
		.page_default = 50, .page_max = 50, .multi_max = 1,
		.user_attributes = "userName active displayName nickName profileUrl title userType preferredLanguage locale timezone externalId"
		" name.formatted name.familyName name.givenName name.middleName name.honorificPrefix name.honorificSuffix"
		" emails.value emails.type emails.primary phoneNumbers.value phoneNumbers.type phoneNumbers.primary addresses"
		" urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
		.group_attributes = "displayName members externalId",
		.put_group = PUT_NONE, .pathless = PATHLESS_SINGLE, .members_set = false, .members_change = 100,
	},
	{COMMON, .name = "slack",
		.page_default = 10, .needs_email = true, .lower_names = true,
		.user_filter = "userName id emails.value", .group_filter = "displayName id",
		.delete_means = DELETE_DISABLES, .rate = 180, .burst = 20, .limit_writes = true,
	},
	{COMMON, .name = "github",
		.base = "/scim/v2/enterprises/acme", .user_filter = "userName externalId id", .group_filter = "displayName externalId id",
		.needs_agent = true, .value_paths = false, .members_change = 1000, .page_max = 100,
	},
	{COMMON, .name = "gitlab",
		.base = "/api/scim/v2/groups/acme", .user_filter = "id", .patchable = "id externalId active", .patch_user = 204,
		.put_user = PUT_NONE, .groups = false, .needs_email = true, .external_ids = true, .disable_removes = true,
	},
	{COMMON, .name = "atlassian",
		.base = "/scim/directory/acme", .user_filter = "userName externalId", .group_filter = "displayName",
		.disable_removes = true, .page_max = 10000,
	},
	{COMMON, .name = "salesforce",
		.base = "/services/scim/v2", .config = "/ServiceProviderConfigs", .user_filter = "userName externalId",
		.delete_means = DELETE_NONE,
	},
	{COMMON, .name = "zoom",
		.base = "/scim2", .user_filter = "userName", .group_filter = "displayName", .needs_accept = "application/scim+json",
	},
	{COMMON, .name = "snowflake",
		.user_filter = "userName id", .group_filter = "displayName id", .multi_max = 1, .concurrency = 500,
	},
	{COMMON, .name = "databricks",
		.base = "/api/2.1/account/scim/v2", .user_filter = "userName externalId", .group_filter = "displayName externalId",
	},
	{COMMON, .name = "sentry",
		.base = "/api/0/organizations/acme/scim/v2", .errors = ERRORS_DETAIL, .accepts = "application/json application/json+scim",
		.content_type = "application/json", .user_filter = "userName", .group_filter = "displayName",
		.page_max = 100, .patchable = "active", .put_user = PUT_NONE, .put_group = PUT_NONE, .patch_user = 204, .disable_removes = true,
	},
	{COMMON, .name = "newrelic",
		.user_filter = "userName externalId", .group_filter = "displayName", .ignores_unknown = true, .put_user = PUT_MERGE,
		.user_attributes = "userName externalId active name emails timezone urn:ietf:params:scim:schemas:extension:newrelic:2.0:User",
		.put_group = PUT_MERGE,
	},
	{COMMON, .name = "pagerduty",
		.base = "/scim", .user_filter = "userName id", .disable_removes = true,
	},
	{COMMON, .name = "google",
		.base = "/v1/scim", .user_filter = "userName externalId", .group_filter = "displayName externalId", .paging = false,
		.put_user = PUT_HTML, .put_group = PUT_HTML,
	},
	{COMMON, .name = "figma",
		.user_filter = "userName externalId", .group_filter = "displayName", .page_max = 200, .text_max = 100,
	},
	{COMMON, .name = "miro",
		.base = "/api/v1/scim", .user_filter = "userName", .group_filter = "displayName", .members_total = 8000,
		.rate = 200, .period = 30, .limit = LIMIT_X_RATELIMIT,
	},
	{COMMON, .name = "configcat",
		.user_filter = "userName", .group_filter = "displayName", .rate = 100, .period = 10, .limit = LIMIT_X_RATE_LIMIT,
	},
	{COMMON, .name = "tealium",
		.user_filter = "userName", .immutable = "userName", .groups = false,
	},
};

#define N_PROFILES	((int) (sizeof(profiles) / sizeof(profiles[0])))

const Profile *
peer_profile(const char *name)
{
	for (int i = 0; i < N_PROFILES; i++)
		if (strcmp(profiles[i].name, name) == 0)
			return &profiles[i];
	return NULL;
}

void
peer_profile_names(char *to, size_t size)
{
	size_t		used = 0;

	for (int i = 0; i < N_PROFILES && used < size; i++)
		used += snprintf(to + used, size - used, "%s%s", i ? " " : "", profiles[i].name);
}

/* Is word, in any case of letters, one of the list? */
bool
peer_listed(const char *list, const char *word)
{
	size_t		length = strlen(word);

	for (const char *at = list; at != NULL && *at; at += strcspn(at, " "), at += *at == ' ')
		if (strcspn(at, " ") == length && strncasecmp(at, word, length) == 0)
			return true;
	return false;
}
