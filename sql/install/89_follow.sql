-- Mappings follow renames.  Last of all: this script has ALTERs itself.

CREATE EVENT TRIGGER scim_mapping_before ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA')
	EXECUTE FUNCTION scim._mapping_ddl();
COMMENT ON EVENT TRIGGER scim_mapping_before IS 'Notes what the names in mappings stand for, where that is not known yet (after a restore).';
CREATE EVENT TRIGGER scim_mapping_after ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE', 'ALTER VIEW', 'ALTER FOREIGN TABLE', 'ALTER SCHEMA')
	EXECUTE FUNCTION scim._mapping_ddl();
COMMENT ON EVENT TRIGGER scim_mapping_after IS 'Follows columns and tables that are renamed in the mappings that name them.';
