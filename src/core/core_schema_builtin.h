/*
 * core_schema_builtin.h
 *		The standard schemas as JSON text (generated, see gen_schemas.py).
 */
#ifndef SCIM_CORE_SCHEMA_BUILTIN_H
#define SCIM_CORE_SCHEMA_BUILTIN_H

extern const char *const scim_builtin_common;	/* array of the common attributes */
extern const char *const scim_builtin_schemas[];	/* Schema resources; NULL ends them */

#endif							/* SCIM_CORE_SCHEMA_BUILTIN_H */
