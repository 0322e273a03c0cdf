/*
 * client_address.c
 *		Which network addresses a request may go to (threat-and-fault-model C2).
 *
 * What the database server can reach and its users cannot is what a request
 * that they can send somewhere must not reach: this machine, the networks
 * behind it, the metadata service of the cloud.  Judged is the address that
 * the socket is opened to, after names and odd spellings have been resolved.
 *
 * IPv4: the special-purpose registry of RFC 6890, multicast and what is above
 * it are refused.  IPv6: only global unicast (2000::/3) is let through, without
 * what is special in it; and NAT64 (64:ff9b::/96), which is how IPv6-only
 * networks reach IPv4, by the address that it stands for.  Everything that
 * carries an IPv4 address otherwise (mapped, compatible, 6to4, Teredo) is
 * refused.
 */
#ifdef POSTGRES_H
#error "client_address.c must not use the server's API"
#endif

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#include "client_address.h"

typedef struct Block4
{
	uint32_t	network;
	int			bits;
} Block4;

static const Block4 special4[] = {
	{0x00000000, 8},			/* 0.0.0.0/8: this network */
	{0x0a000000, 8},			/* 10.0.0.0/8: private */
	{0x64400000, 10},			/* 100.64.0.0/10: carrier-grade NAT */
	{0x7f000000, 8},			/* 127.0.0.0/8: loopback */
	{0xa9fe0000, 16},			/* 169.254.0.0/16: link-local, metadata services */
	{0xac100000, 12},			/* 172.16.0.0/12: private */
	{0xc0000000, 24},			/* 192.0.0.0/24: protocol assignments */
	{0xc0000200, 24},			/* 192.0.2.0/24: documentation */
	{0xc0586300, 24},			/* 192.88.99.0/24: 6to4 relays */
	{0xc0a80000, 16},			/* 192.168.0.0/16: private */
	{0xc6120000, 15},			/* 198.18.0.0/15: benchmarks */
	{0xc6336400, 24},			/* 198.51.100.0/24: documentation */
	{0xcb007100, 24},			/* 203.0.113.0/24: documentation */
	{0xe0000000, 3}				/* 224.0.0.0 and above: multicast, reserved, broadcast */
};

typedef struct Block6
{
	uint8_t		prefix[4];
	int			bits;
} Block6;

static const Block6 special6[] = {
	{{0x20, 0x01, 0x00, 0x00}, 23}, /* 2001::/23: Teredo, protocol assignments */
	{{0x20, 0x01, 0x0d, 0xb8}, 32}, /* 2001:db8::/32: documentation */
	{{0x20, 0x02, 0x00, 0x00}, 16}, /* 2002::/16: 6to4 */
	{{0x3f, 0xff, 0x00, 0x00}, 20}	/* 3fff::/20: documentation */
};

static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

static bool
public4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++)
		if ((address ^ special4[i].network) >> (32 - special4[i].bits) == 0)
			return false;
	return true;
}

static uint32_t
big_endian(const uint8_t *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static bool
public6(const uint8_t *address)
{
	uint32_t	head = big_endian(address);

	if (memcmp(address, nat64, sizeof(nat64)) == 0)
		return public4(big_endian(address + 12));
	if (address[0] >> 5 != 1)
		return false;
	for (size_t i = 0; i < sizeof(special6) / sizeof(special6[0]); i++)
		if ((head ^ big_endian(special6[i].prefix)) >> (32 - special6[i].bits) == 0)
			return false;
	return true;
}

bool
scim_address_public(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
	{
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		return public4(ntohl(in.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6)
	{
		struct sockaddr_in6 in6;

		memcpy(&in6, address, sizeof(in6));
		return public6(in6.sin6_addr.s6_addr);
	}
	return false;
}

bool
scim_address_text_public(const char *text)
{
	struct in_addr in;
	struct in6_addr in6;

	if (inet_pton(AF_INET, text, &in) == 1)
		return public4(ntohl(in.s_addr));
	if (inet_pton(AF_INET6, text, &in6) == 1)
		return public6(in6.s6_addr);
	return false;
}
