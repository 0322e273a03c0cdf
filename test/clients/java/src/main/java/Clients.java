import de.captaingoldfish.scim.sdk.client.ScimClientConfig;
import de.captaingoldfish.scim.sdk.client.ScimRequestBuilder;
import de.captaingoldfish.scim.sdk.client.response.ServerResponse;
import de.captaingoldfish.scim.sdk.common.constants.enums.Comparator;
import de.captaingoldfish.scim.sdk.common.constants.enums.HttpMethod;
import de.captaingoldfish.scim.sdk.common.constants.enums.PatchOp;
import de.captaingoldfish.scim.sdk.common.constants.enums.SortOrder;
import de.captaingoldfish.scim.sdk.common.resources.Group;
import de.captaingoldfish.scim.sdk.common.resources.ServiceProvider;
import de.captaingoldfish.scim.sdk.common.resources.User;
import de.captaingoldfish.scim.sdk.common.resources.complex.Name;
import de.captaingoldfish.scim.sdk.common.resources.multicomplex.Email;
import de.captaingoldfish.scim.sdk.common.resources.multicomplex.Member;
import de.captaingoldfish.scim.sdk.common.response.BulkResponse;
import de.captaingoldfish.scim.sdk.common.response.ListResponse;
import java.util.List;
import java.util.Map;

/** Drives an endpoint with the client of the SCIM-SDK, which checks each answer against its own schemas. */
public class Clients
{
	private static int failed = 0;

	private static void check(boolean ok, String what, ServerResponse<?> r)
	{
		System.out.println((ok ? "ok - " : "not ok - ") + what);
		if (!ok)
		{
			failed++;
			if (r != null)
				System.out.println("    " + r.getHttpStatus() + " " + r.getResponseBody());
		}
	}

	private static User user(String name)
	{
		return User.builder().userName(name).name(Name.builder().givenName("G").familyName("F").build()).active(true)
			.emails(List.of(Email.builder().value(name + "@example.org").type("work").primary(true).build())).build();
	}

	public static void main(String[] args) throws Exception
	{
		String run = Long.toString(System.nanoTime());
		ScimClientConfig config = ScimClientConfig.builder().enableAutomaticBulkRequestSplitting(false)
			.httpHeaders(Map.of("Authorization", "Bearer " + System.getenv("SCIM_TOKEN"))).build();

		try (ScimRequestBuilder b = new ScimRequestBuilder(System.getenv("SCIM_URL"), config))
		{
			ServerResponse<ServiceProvider> spc = b.get(ServiceProvider.class, "/ServiceProviderConfig", null).sendRequest();
			check(spc.isSuccess() && spc.getResource().getPatchConfig().isSupported(), "ServiceProviderConfig", spc);
			ServerResponse<User> made = b.create(User.class, "/Users").setResource(user("java-" + run)).sendRequest();
			check(made.isSuccess() && made.getResource().getId().isPresent(), "create", made);
			String id = made.getResource().getId().get();
			ServerResponse<User> again = b.create(User.class, "/Users").setResource(user("JAVA-" + run)).sendRequest();
			check(again.getHttpStatus() == 409 && "uniqueness".equals(again.getErrorResponse().getScimType().orElse("")), "a duplicate is 409", again);
			ServerResponse<User> got = b.get(User.class, "/Users", id).sendRequest();
			check(got.isSuccess() && got.getResource().getUserName().get().equals("java-" + run), "get", got);
			ServerResponse<ListResponse<User>> list = b.list(User.class, "/Users").count(5).sortBy("userName").sortOrder(SortOrder.DESCENDING)
				.filter("userName", Comparator.SW, "java-" + run).build().get().sendRequest();
			check(list.isSuccess() && list.getResource().getTotalResults() == 1 && list.getResource().getListedResources().size() == 1, "list by GET", list);
			list = b.list(User.class, "/Users").filter("emails.value", Comparator.EQ, "java-" + run + "@example.org").build().post().sendRequest();
			check(list.isSuccess() && list.getResource().getTotalResults() == 1, "list by POST .search", list);
			ServerResponse<User> patched = b.patch(User.class, "/Users", id).addOperation().op(PatchOp.REPLACE).path("title").value("Boss").next()
				.op(PatchOp.REMOVE).path("name.givenName").build().sendRequest();
			check(patched.isSuccess() && "Boss".equals(patched.getResource().getTitle().orElse("")), "patch", patched);
			patched = b.patch(User.class, "/Users", id).addOperation().op(PatchOp.ADD).path("emails")
				.valueNode(Email.builder().value("home@example.org").type("home").build()).build().sendRequest();
			check(patched.isSuccess() && patched.getResource().getEmails().size() == 2, "patch: add", patched);
			User replaced = got.getResource();
			replaced.setNickName("nick");
			ServerResponse<User> put = b.update(User.class, "/Users", id).setResource(replaced).sendRequest();
			check(put.isSuccess() && "nick".equals(put.getResource().getNickName().orElse("")) && put.getResource().getTitle().isEmpty(), "put", put);
			put = b.update(User.class, "/Users", id).setETagForIfMatch("0").setResource(replaced).sendRequest();
			check(put.getHttpStatus() == 412, "put with a stale If-Match", put);
			ServerResponse<Group> group = b.create(Group.class, "/Groups").setResource(Group.builder().displayName("java-" + run)
				.members(List.of(Member.builder().value(id).type("User").build())).build()).sendRequest();
			check(group.isSuccess() && group.getResource().getMembers().size() == 1, "a group", group);
			ServerResponse<BulkResponse> bulk = b.bulk().failOnErrors(1)
				.bulkRequestOperation("/Users").method(HttpMethod.POST).bulkId("u").data(user("bulk-" + run)).next()
				.bulkRequestOperation("/Groups").method(HttpMethod.POST).bulkId("g").data(Group.builder().displayName("bulk-" + run)
					.members(List.of(Member.builder().value("bulkId:u").type("User").build())).build()).sendRequest();
			check(bulk.isSuccess() && bulk.getResource().getBulkResponseOperations().size() == 2 && bulk.getResource().getFailedOperations().findAny().isEmpty(), "bulk with a bulkId", bulk);
			ServerResponse<ListResponse<Group>> groups = b.list(Group.class, "/Groups").filter("members.value", Comparator.EQ, id).build().get().sendRequest();
			check(groups.isSuccess() && groups.getResource().getTotalResults() == 1, "groups of a member", groups);
			ServerResponse<User> gone = b.delete(User.class, "/Users", id).sendRequest();
			check(gone.isSuccess() && gone.getHttpStatus() == 204, "delete", gone);
			got = b.get(User.class, "/Users", id).sendRequest();
			check(got.getHttpStatus() == 404 && got.getErrorResponse() != null, "then 404", got);
		}
		System.exit(failed == 0 ? 0 : 1);
	}
}
