/*
 * provisioner_change.c
 *		What a request changes, for scim.sync_log (provisioning-engine 2.12):
 *		names of attributes, and values where the sync says so.
 *
 * What comes of it is text, made when a request is decided on, while its
 * documents are parsed anyway.
 */
#include "postgres.h"

#include "utils/formatting.h"
#include "utils/json.h"

#include "provisioner_engine.h"
#include "../core/core_multi.h"

/* Attributes named like this hold secrets, whatever their schema says of them. */
static const char *const secret_names[] = {"password", "passwd", "secret", "token", "credential", "apikey", "privatekey"};

/* The four texts in the making. */
typedef struct Notes
{
	const ScimSyncView *view;
	StringInfoData before;
	StringInfoData after;
	StringInfoData old_values;
	StringInfoData new_values;
} Notes;

static void
begin_notes(const ScimSyncView *view, Notes *notes)
{
	notes->view = view;
	initStringInfo(&notes->before);
	initStringInfo(&notes->after);
	if (view->sync->log_values)
	{
		initStringInfo(&notes->old_values);
		initStringInfo(&notes->new_values);
	}
}

static const char *
closed(StringInfo text, const char *opening)
{
	if (text->len == 0)
		appendStringInfoString(text, opening);
	appendStringInfoChar(text, '}');
	return text->data;
}

static void
end_notes(Notes *notes, ScimChange *change)
{
	bool		values = notes->view->sync->log_values;

	change->before = closed(&notes->before, "{");
	change->after = closed(&notes->after, "{");
	change->old_values = values ? closed(&notes->old_values, "{") : NULL;
	change->new_values = values ? closed(&notes->new_values, "{") : NULL;
}

/* An element of an array, or the name of a member of an object: both take it in quotation marks. */
static void
append_name(StringInfo text, const char *name)
{
	appendStringInfoChar(text, text->len == 0 ? '{' : ',');
	escape_json(text, name);
}

static bool
is_named_secret(const ScimAttr *attr)
{
	char	   *name = asc_tolower(attr->name, strlen(attr->name));

	for (int i = 0; i < lengthof(secret_names); i++)
		if (strstr(name, secret_names[i]))
			return true;
	return false;
}

/* May values of the attribute not be kept?  Nor those of one that it is part of. */
static bool
is_secret(const ScimAttr *attr)
{
	if (attr->returned == SCIM_RETURNED_NEVER || attr->mutability == SCIM_WRITE_ONLY || is_named_secret(attr))
		return true;
	for (int i = 0; i < attr->nsubs; i++)
		if (is_secret(attr->subs[i]))
			return true;
	return attr->parent && attr->parent->multi == false && is_named_secret(attr->parent);
}

static void
append_value(StringInfo values, const char *name, const json_t *value)
{
	size_t		len;
	char	   *text = scim_json_print(value, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	append_name(values, name);
	appendStringInfo(values, ":%s", text);
}

static void
note(Notes *notes, const ScimAttr *attr, const json_t *old, const json_t *new)
{
	char		path[256];
	const char *name = scim_attr_path(notes->view->type, attr, path, sizeof(path));

	if (old)
		append_name(&notes->before, name);
	if (new)
		append_name(&notes->after, name);
	if (!notes->view->sync->log_values || is_secret(attr))
		return;
	/* a group's members are many */
	if (scim_multi_is_reference(attr))
	{
		const json_t *was = old;

		old = scim_references(attr, was, new, true);
		new = scim_references(attr, new, was, true);
	}
	if (old)
		append_value(&notes->old_values, name, old);
	if (new)
		append_value(&notes->new_values, name, new);
}

/* The same, part by part where the attribute has parts. */
static void
note_parts(Notes *notes, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	const ScimResourceType *type = notes->view->type;

	if (attr->type != SCIM_TYPE_COMPLEX || attr->multi)
	{
		note(notes, attr, scim_document_value(type, from, attr), scim_document_value(type, to, attr));
		return;
	}
	for (int i = 0; i < attr->nsubs; i++)
	{
		const json_t *old = scim_document_value(type, from, attr->subs[i]);
		const json_t *new = scim_document_value(type, to, attr->subs[i]);

		if (old || new)
			note(notes, attr->subs[i], old, new);
	}
}

/* What takes a resource into use or out of it, also where the mapping has no `active`. */
static void
note_active(Notes *notes, bool active)
{
	append_name(&notes->before, "active");
	append_name(&notes->after, "active");
	if (!notes->view->sync->log_values)
		return;
	append_value(&notes->old_values, "active", json_boolean(!active));
	append_value(&notes->new_values, "active", json_boolean(active));
}

void
scim_change_note(const ScimSyncView *view, const List *attrs, const json_t *from, const json_t *to, int active, ScimChange *change)
{
	Notes		notes;
	ListCell   *lc;

	begin_notes(view, &notes);
	foreach(lc, attrs)
		note_parts(&notes, (const ScimAttr *) lfirst(lc), from, to);
	if (active != 0)
		note_active(&notes, active > 0);
	end_notes(&notes, change);
}

void
scim_change_note_create(const ScimSyncView *view, const json_t *document, ScimChange *change)
{
	Notes		notes;

	begin_notes(view, &notes);
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];

		if (view->selection->has[attr->ord])
			note_parts(&notes, attr, NULL, document);
	}
	end_notes(&notes, change);
}
