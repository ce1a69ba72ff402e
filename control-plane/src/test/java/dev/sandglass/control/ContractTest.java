package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.check.OpenApi;
import dev.sandglass.control.http.Access;
import dev.sandglass.control.http.Route;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.FakeHostAgent;
import dev.sandglass.control.testing.TestPlane;
import java.lang.reflect.RecordComponent;
import java.net.http.HttpRequest.BodyPublishers;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;

/** Server and openapi.yaml are the same in what can be seen without traffic. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class ContractTest {
    /** Schemas of bodies and messages, each with the record that Jackson reads or writes; several share one. */
    private static final Map<String, List<String>> RECORDS = Map.ofEntries(
            Map.entry("account.AccountResource$Credentials", List.of("NewAccount", "LogIn")),
            Map.entry("account.AccountResource$Session", List.of("Session")),
            Map.entry("account.AccountResource$Me", List.of("Me")),
            Map.entry("account.AccountResource$Team", List.of("Team")),
            Map.entry("apikey.ApiKeyResource$CreateRequest", List.of("ApiKeyRequest")),
            Map.entry("apikey.ApiKeyResource$KeyObject", List.of("ApiKey", "NewApiKey")),
            Map.entry("oauth.OauthResource$Offered", List.of("Providers")),
            Map.entry("sandbox.SandboxResource$CreateRequest", List.of("NewSandbox")),
            Map.entry("sandbox.SandboxResource$ResumeRequest", List.of("Resume")),
            Map.entry("sandbox.SandboxObject", List.of("Sandbox")),
            Map.entry("snapshot.SnapshotResource$CreateRequest", List.of("NewSnapshot")),
            Map.entry("snapshot.SnapshotObject", List.of("Snapshot")),
            Map.entry("exec.ExecResource$OneShot", List.of("NewExec")),
            Map.entry("exec.ExecResource$Result", List.of("ExecResult")),
            Map.entry("exec.ExecResource$Listed", List.of("Exec")),
            Map.entry("exec.ExecSpecs$Terminal", List.of("Terminal")),
            Map.entry(
                    "exec.ExecSocket$Received",
                    List.of(
                            "StartCommand",
                            "AttachCommand",
                            "StdinMessage",
                            "StdinCloseMessage",
                            "ResizeMessage",
                            "SignalMessage",
                            "StopMessage")),
            Map.entry("exec.ExecSocket$StartMessage", List.of("StartedMessage")),
            Map.entry("exec.ExecSocket$OutputMessage", List.of("OutputMessage")),
            Map.entry("exec.ExecSocket$ExitMessage", List.of("ExitMessage")),
            Map.entry("exec.ExecSocket$ErrorMessage", List.of("ErrorMessage")),
            Map.entry("file.FileResource$PathBody", List.of("Path")),
            Map.entry("file.FileResource$MoveBody", List.of("Move")),
            Map.entry("file.FileResource$Entry", List.of("File")),
            Map.entry("http.ErrorEnvelope", List.of("Error")));

    /** Schemas of what no record stands for: written as a map, or keys that the caller chooses. */
    private static final Set<String> WITHOUT_RECORD = Set.of("Health", "Environment", "Metadata");

    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    @Test
    void theDocumentHasExactlyTheRoutesThereAreAndSaysWhoMayUseThem() {
        Map<String, Set<String>> documented = new HashMap<>();
        OpenApi.document()
                .operations()
                .forEach(operation -> documented.put(operation.toString(), operation.credentials()));
        Map<String, Set<String>> routed = new HashMap<>();
        for (Route route : test.plane.wiring().routes) {
            routed.put(route.method() + " " + route.path(), credentials(route.access()));
        }
        assertThat(documented).isEqualTo(routed);
    }

    private static Set<String> credentials(Access access) {
        return switch (access) {
            case OPEN -> Set.of();
            case USER -> Set.of("JWT");
            case TEAM, TEAM_WEBSOCKET -> Set.of("KEY", "JWT");
        };
    }

    @Test
    void theDocumentHasExactlyTheFieldsThatAreReadAndWritten() throws Exception {
        for (var entry : RECORDS.entrySet()) {
            Class<?> type = Class.forName("dev.sandglass.control." + entry.getKey());
            Set<String> documented = entry.getValue().stream()
                    .flatMap(schema -> OpenApi.document().fields(schema).stream())
                    .collect(Collectors.toCollection(TreeSet::new));
            Set<String> fields = Arrays.stream(type.getRecordComponents())
                    .map(RecordComponent::getName)
                    .map(name -> name.replaceAll("([A-Z])", "_$1").toLowerCase(java.util.Locale.ROOT))
                    .collect(Collectors.toCollection(TreeSet::new));
            assertThat(documented).as(entry.toString()).isEqualTo(fields);
        }
    }

    @Test
    void everyObjectOfTheDocumentIsAmongThem() {
        Set<String> known = Stream.concat(RECORDS.values().stream().flatMap(List::stream), WITHOUT_RECORD.stream())
                .collect(Collectors.toSet());
        assertThat(OpenApi.document().objects()).isEqualTo(known);
    }

    /** That the answers are as documented is seen to by the client. */
    @TestFactory
    Stream<DynamicTest> whatIsNoJsonOrTooMuchIsRefusedWhereverJsonIsTaken() {
        TestPlane.Person person = test.signUp();
        String sandbox = person.withKey().post("/v1/sandboxes", "{}").text("id");
        return OpenApi.document().operations().stream()
                .filter(operation -> operation.statuses().contains("415"))
                .map(operation -> DynamicTest.dynamicTest(operation.toString(), () -> {
                    Api api = operation.credentials().contains("KEY") ? person.withKey() : person.withToken();
                    String path = operation.path().replace("{id}", sandbox);
                    assertThat(api.with("Content-Type", "text/plain")
                                    .send(operation.method(), path, BodyPublishers.ofString("{}"))
                                    .status())
                            .isEqualTo(415);
                    assertThat(api.post(path, "{\"x\":\"" + "y".repeat(1 << 20) + "\"}")
                                    .status())
                            .isEqualTo(413);
                }));
    }

    @TestFactory
    Stream<DynamicTest> whatNeedsARunningSandboxSaysSoBeforeItLooksAtAnythingElse() {
        TestPlane.Person person = test.signUp();
        String sandbox = person.withKey().post("/v1/sandboxes", "{}").text("id");
        person.withKey().post("/v1/sandboxes/" + sandbox + "/pause");
        return OpenApi.document().operations().stream()
                .filter(operation -> operation.path().matches("/v1/sandboxes/\\{id}/(exec|execs|files|ping)(/.*)?"))
                .map(operation -> DynamicTest.dynamicTest(operation.toString(), () -> {
                    String path = operation.path().replace("{id}", sandbox).replace("{exec_id}", "none");
                    Api.Answer answer =
                            person.withKey().send(operation.method(), path, BodyPublishers.ofString("nonsense"));
                    assertThat(answer.status() + " " + answer.code()).isEqualTo("409 invalid_state");
                }));
    }

    @Test
    void whatTheGuestForbidsIsForbidden() {
        Api api = test.signUp().withKey();
        String files = "/v1/sandboxes/" + api.post("/v1/sandboxes", "{}").text("id") + "/files";
        String path = FakeHostAgent.FORBIDDEN + "/x";
        String json = "{\"path\":\"" + path + "\"}";
        String form = "--b\r\nContent-Disposition: form-data; name=\"path\"\r\n\r\n" + path + "\r\n--b\r\n"
                + "Content-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\nx\r\n--b--\r\n";
        Api forms = api.with("Content-Type", "multipart/form-data; boundary=b");
        List<Api.Answer> answers = List.of(
                api.get(files + "?path=" + path),
                api.delete(files + "?path=" + path),
                api.send("PUT", files + "/stream?path=" + path, BodyPublishers.ofString("x")),
                api.post(files + "/read", json),
                api.post(files + "/stream/read", json),
                api.post(files + "/mkdir", json),
                api.post(files + "/move", "{\"from\":\"" + path + "\",\"to\":\"/y\"}"),
                forms.send("POST", files + "/write", BodyPublishers.ofString(form)),
                forms.send("POST", files + "/stream/write", BodyPublishers.ofString(form)));
        assertThat(answers)
                .allSatisfy(answer ->
                        assertThat(answer.status() + " " + answer.code()).isEqualTo("403 forbidden"));
    }
}
