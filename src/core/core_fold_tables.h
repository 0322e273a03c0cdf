/*
 * core_fold_tables.h
 *		Shape of the generated tables (core_fold_tables.c, gen_fold.py).
 */
#ifndef SCIM_CORE_FOLD_TABLES_H
#define SCIM_CORE_FOLD_TABLES_H

#include <stdint.h>

/* A code point and the run of the pool it becomes; sorted by code point. */
typedef struct ScimFoldMapping
{
	uint32_t	cp;
	uint16_t	offset;
	uint16_t	len;
} ScimFoldMapping;

/* Two code points that compose to one; sorted. */
typedef struct ScimFoldPair
{
	uint32_t	first;
	uint32_t	second;
	uint32_t	composed;
} ScimFoldPair;

/* Canonical combining class of a code point, where it is not 0; sorted. */
typedef struct ScimFoldClass
{
	uint32_t	cp;
	uint32_t	ccc;
} ScimFoldClass;

extern const char *const scim_fold_unicode;
extern const ScimFoldMapping scim_fold_width[];
extern const int scim_n_fold_width;
extern const ScimFoldMapping scim_fold_canonical[];
extern const int scim_n_fold_canonical;
extern const ScimFoldMapping scim_fold_case[];
extern const int scim_n_fold_case;
extern const ScimFoldPair scim_fold_pairs[];
extern const int scim_n_fold_pairs;
extern const ScimFoldClass scim_fold_classes[];
extern const int scim_n_fold_classes;
extern const uint32_t scim_fold_pool[];

#endif							/* SCIM_CORE_FOLD_TABLES_H */
