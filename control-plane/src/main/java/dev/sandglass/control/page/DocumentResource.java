package dev.sandglass.control.page;

import dev.sandglass.control.http.Route;
import dev.sandglass.control.http.StaticFiles;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/** /openapi.yaml, and /docs: Swagger UI, from the files of its webjar. */
public final class DocumentResource {
    private static final String WEBJAR = "org.webjars/swagger-ui";

    private DocumentResource() {}

    public static List<Route> routes() {
        String swagger = "/META-INF/resources/webjars/swagger-ui/" + swaggerVersion() + "/";
        return StaticFiles.beside(DocumentResource.class)
                .file("/openapi.yaml", "/dev/sandglass/contract/openapi.yaml")
                .page("/docs", "docs.html", StaticFiles.STRICT_POLICY)
                .folder(
                        "/docs",
                        Map.of(
                                "docs.css", "docs.css",
                                "docs.js", "docs.js",
                                "swagger-ui.css", swagger + "swagger-ui.css",
                                "swagger-ui-bundle.js", swagger + "swagger-ui-bundle.js",
                                "icon.png", swagger + "favicon-32x32.png"))
                .routes();
    }

    /** The webjar's paths contain it; it is pinned in the root pom alone. */
    private static String swaggerVersion() {
        try (InputStream in =
                DocumentResource.class.getResourceAsStream("/META-INF/maven/" + WEBJAR + "/pom.properties")) {
            Properties properties = new Properties();
            if (in != null) {
                properties.load(in);
            }
            return properties.getProperty("version", "absent");
        } catch (IOException e) {
            throw new IllegalStateException("read the version of " + WEBJAR, e);
        }
    }
}
