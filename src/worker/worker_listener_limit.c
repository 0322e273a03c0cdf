/*
 * worker_listener_limit.c
 *		Limit on failed authentications of one address, in memory only
 *		(threat-and-fault-model H5).
 *
 * After so many 401 within a window an address has to wait for the end of the
 * window.  Many clients can share the address of a proxy, and one of them must
 * not lock out the others: so a credential that was accepted lately is exempt.
 *
 * Both tables are of fixed size.  Entries that fall into one slot push each
 * other out, which makes the limit more generous, never stricter.
 */
#ifdef POSTGRES_H
#error "worker_listener_limit.c must not use the server's API"
#endif

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "worker_listener_limit.h"

#define WINDOW_MS 10000

static uint64_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t	hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
	return hash;
}

void
scim_address_from(ScimAddress *address, const struct sockaddr *sa)
{
	memset(address, 0, sizeof(*address));
	if (sa == NULL)
		return;
	if (sa->sa_family == AF_INET)
	{
		address->bytes[10] = address->bytes[11] = 0xff;
		memcpy(address->bytes + 12, &((const struct sockaddr_in *) (const void *) sa)->sin_addr, 4);
	}
	else if (sa->sa_family == AF_INET6)
	{
		const struct in6_addr *a = &((const struct sockaddr_in6 *) (const void *) sa)->sin6_addr;

		/* one site has at least a /64 to choose addresses from */
		memcpy(address->bytes, a, IN6_IS_ADDR_V4MAPPED(a) ? 16 : 8);
	}
}

static size_t
slot_of(const ScimAddress *address)
{
	return hash_bytes(address, sizeof(*address)) % SCIM_LIMIT_SLOTS;
}

void
scim_limit_failed(ScimLimit *limit, const ScimAddress *address, const char *credential, int64_t now)
{
	ScimLimitSlot *slot = &limit->slots[slot_of(address)];

	if (slot->window_at == 0 || now - slot->window_at >= WINDOW_MS ||
		memcmp(&slot->address, address, sizeof(*address)) != 0)
	{
		slot->address = *address;
		slot->window_at = now;
		slot->failures = 0;
	}
	slot->failures++;

	if (credential != NULL)
	{
		uint64_t	hash = hash_bytes(credential, strlen(credential));

		if (limit->good[hash % SCIM_LIMIT_GOOD_SLOTS] == hash)
			limit->good[hash % SCIM_LIMIT_GOOD_SLOTS] = 0;
	}
}

void
scim_limit_accepted(ScimLimit *limit, const char *credential)
{
	uint64_t	hash = hash_bytes(credential, strlen(credential));

	/* all that a collision of hashes brings is an exemption from the limit */
	limit->good[hash % SCIM_LIMIT_GOOD_SLOTS] = hash;
}

int
scim_limit_wait(const ScimLimit *limit, unsigned max, const ScimAddress *address, const char *credential, int64_t now)
{
	const ScimLimitSlot *slot = &limit->slots[slot_of(address)];
	int64_t		left = slot->window_at + WINDOW_MS - now;

	if (max == 0 || slot->window_at == 0 || slot->failures < max || left <= 0 ||
		memcmp(&slot->address, address, sizeof(*address)) != 0)
		return 0;
	if (credential != NULL)
	{
		uint64_t	hash = hash_bytes(credential, strlen(credential));

		if (limit->good[hash % SCIM_LIMIT_GOOD_SLOTS] == hash)
			return 0;
	}
	return (int) ((left + 999) / 1000);
}
