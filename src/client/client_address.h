/*
 * client_address.h
 *		Which network addresses a request may go to.  Plain C.
 */
#ifndef SCIM_CLIENT_ADDRESS_H
#define SCIM_CLIENT_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

/* Is it an address of the public Internet?  False for all families but IP. */
extern bool scim_address_public(const struct sockaddr *address);

/* The same of an address as text, without a zone; false if it is none. */
extern bool scim_address_text_public(const char *text);

#endif							/* SCIM_CLIENT_ADDRESS_H */
