package dev.sandglass.control;

import static org.assertj.core.api.Assertions.assertThat;

import dev.sandglass.contract.check.OpenApi;
import dev.sandglass.control.testing.Api;
import dev.sandglass.control.testing.TestPlane;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;

/** Pages and their files, as any client gets them. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class StaticFilesTest {
    private TestPlane test;

    @BeforeAll
    void start() {
        test = TestPlane.start();
    }

    @AfterAll
    void stop() {
        test.close();
    }

    /** One path for each operation that the document says may answer 304; a page names the files it loads. */
    private List<String> kept() {
        return OpenApi.document().operations().stream()
                .filter(operation -> operation.statuses().contains("304"))
                .map(OpenApi.Operation::path)
                .map(path -> path.endsWith("/{file}") ? fileOf(path.replace("/{file}", "")) : path)
                .toList();
    }

    private String fileOf(String page) {
        Matcher file = Pattern.compile("\"(" + page + "/[^\"]+)\"")
                .matcher(test.api().get(page).body());
        assertThat(file.find()).as(page).isTrue();
        return file.group(1);
    }

    @Test
    void aFileThatIsStillTheSameIsNotSentAgain() {
        assertThat(kept()).contains("/openapi.yaml", "/docs");
        for (String path : kept()) {
            Api.Answer first = test.api().get(path);
            assertThat(first.status()).as(path).isEqualTo(200);
            String tag = first.header("ETag");
            assertThat(test.api().with("If-None-Match", "\"other\"").get(path).status())
                    .isEqualTo(200);
            Api.Answer second =
                    test.api().with("If-None-Match", "\"other\", " + tag).get(path);
            assertThat(second.status()).isEqualTo(304);
            assertThat(second.body()).isEmpty();
            assertThat(second.header("ETag")).isEqualTo(tag);
        }
    }

    @Test
    void textsAreSentPackedToWhoTakesThat() {
        Api api = test.api();
        String path = "/docs/swagger-ui.css";
        assertThat(api.with("Accept-Encoding", "br, gzip").get(path).header("Content-Encoding"))
                .isEqualTo("gzip");
        assertThat(api.with("Accept-Encoding", "gzip;q=0").get(path).header("Content-Encoding"))
                .isEmpty();
        assertThat(api.get(path).header("Content-Encoding")).isEmpty();
        assertThat(api.with("Accept-Encoding", "gzip").get("/docs/icon.png").header("Content-Encoding"))
                .isEmpty();
    }

    @Test
    void onlyWhatIsNamedIsServed() {
        for (String name : List.of("DocumentResource.class", "docs.html", "..%2fdocs.js", "%2e%2e", "x")) {
            assertThat(test.api().get("/docs/" + name).status()).as(name).isBetween(400, 404);
        }
        for (OpenApi.Operation operation : OpenApi.document().operations()) {
            if (operation.path().endsWith("/{file}")) {
                assertThat(test.api()
                                .get(operation.path().replace("{file}", "x"))
                                .status())
                        .isEqualTo(404);
            }
        }
    }
}
