package dev.sandglass.control.http;

import dev.sandglass.contract.ErrorCode;
import dev.sandglass.contract.Id.TeamId;
import dev.sandglass.contract.PlatformException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.util.Fields;
import org.jspecify.annotations.Nullable;

/** One request as an endpoint sees it. Used by one thread. The body is read when it is asked for, and once. */
public final class HttpRequest {
    static final String WEBSOCKET_PROTOCOL = "sandglass.v1";
    static final int JSON_BYTES_MAX = 1 << 20;

    /** Of an upload that takes longer than headers may. */
    private static final int UPLOAD_BYTES_PER_SECOND_MIN = 1024;

    private final Request request;
    private final String id;
    private final HttpSettings settings;
    private Map<String, String> parameters = Map.of();
    private @Nullable Fields query;
    private @Nullable Caller caller;
    private @Nullable ArrivingBody body;

    HttpRequest(Request request, String id, HttpSettings settings) {
        this.request = request;
        this.id = id;
        this.settings = settings;
    }

    void matched(Map<String, String> pathParameters) {
        this.parameters = pathParameters;
    }

    void authenticated(Caller who) {
        this.caller = who;
    }

    Map<String, String> parameters() {
        return parameters;
    }

    /** Empty before it has shown who it is, and on a route that is open to everybody. */
    Optional<Caller> knownCaller() {
        return Optional.ofNullable(caller);
    }

    Request jetty() {
        return request;
    }

    /** As in X-Request-Id. */
    public String id() {
        return id;
    }

    public String method() {
        return request.getMethod();
    }

    /** Of the path's pattern. */
    public String parameter(String name) {
        String value = parameters.get(name);
        if (value == null) {
            throw new IllegalStateException("the route has no parameter " + name);
        }
        return value;
    }

    public Caller caller() {
        if (caller == null) {
            throw new IllegalStateException("the route is open to everybody");
        }
        return caller;
    }

    public TeamId team() {
        return caller().team();
    }

    /** The caller of a route for people. */
    public Caller.ByUser user() {
        if (caller() instanceof Caller.ByUser user) {
            return user;
        }
        throw new IllegalStateException("the route is not for people");
    }

    /** The first value of the query parameter. */
    public Optional<String> query(String name) {
        return Optional.ofNullable(fields().getValue(name));
    }

    /** The query parameters whose name begins with {@code prefix}, by the rest of their name. */
    public Map<String, String> queryWithPrefix(String prefix) {
        Map<String, String> found = new LinkedHashMap<>();
        for (Fields.Field field : fields()) {
            if (field.getName().startsWith(prefix)) {
                found.put(field.getName().substring(prefix.length()), field.getValue());
            }
        }
        return found;
    }

    private Fields fields() {
        if (query == null) {
            try {
                query = Request.extractQueryParameters(request);
            } catch (RuntimeException e) {
                throw new PlatformException(
                        ErrorCode.INVALID_REQUEST, "The query of the address is not encoded correctly.");
            }
        }
        return query;
    }

    public Optional<String> header(String name) {
        return Optional.ofNullable(request.getHeaders().get(name));
    }

    public List<String> headers(String name) {
        return request.getHeaders().getValuesList(name);
    }

    /** Whether this asks for an upgrade to a WebSocket. */
    public boolean asksForWebSocket() {
        return header("Upgrade")
                .map(value -> value.equalsIgnoreCase("websocket"))
                .orElse(false);
    }

    public Optional<String> contentType() {
        return header("Content-Type");
    }

    /** −1 when the caller did not say. */
    public long contentLength() {
        return request.getLength();
    }

    /** Blocks while the caller is slow, within bounds; a connection that breaks is an IOException, never an end. */
    public InputStream body() {
        return body(Long.MAX_VALUE);
    }

    /** As the other; a body that is longer than {@code bytesMax} is TOO_LARGE when so much of it has been read. */
    public InputStream body(long bytesMax) {
        return arriving(UPLOAD_BYTES_PER_SECOND_MIN, bytesMax);
    }

    private InputStream arriving(int bytesPerSecondMin, long bytesMax) {
        if (body == null) {
            body = new ArrivingBody(
                    Request.asInputStream(request), settings.arrivalTimeout(), bytesPerSecondMin, bytesMax);
        }
        return body;
    }

    /** What is left of the body when the answer has been given: nothing holds for it any more. */
    InputStream restOfBody() {
        return Request.asInputStream(request);
    }

    /** The body has been waited for as long as it is. */
    boolean isBodyLate() {
        return body != null && body.isLate();
    }

    /** The body as JSON. */
    public <T> T json(Class<T> type) throws IOException {
        return Json.read(jsonBytes(), type);
    }

    /** As {@link #json}; no body at all is the empty object. */
    public <T> T jsonOrEmpty(Class<T> type) throws IOException {
        byte[] bytes = jsonBytes();
        return Json.read(bytes.length == 0 ? new byte[] {'{', '}'} : bytes, type);
    }

    private byte[] jsonBytes() throws IOException {
        contentType().ifPresent(HttpRequest::requireJson);
        if (contentLength() > JSON_BYTES_MAX) {
            throw Json.tooLarge(JSON_BYTES_MAX);
        }
        return Json.readBody(arriving(0, Long.MAX_VALUE), JSON_BYTES_MAX);
    }

    private static void requireJson(String contentType) {
        String[] parts = contentType.toLowerCase(Locale.ROOT).split(";", -1);
        boolean utf8 = true;
        for (int i = 1; i < parts.length; i++) {
            String parameter = parts[i].strip().replace("\"", "");
            utf8 &= !parameter.startsWith("charset=") || parameter.equals("charset=utf-8");
        }
        if (!parts[0].strip().equals("application/json") || !utf8) {
            throw new PlatformException(
                    ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send JSON, with Content-Type: application/json.");
        }
    }

    /** Where it came from, by the word of trusted proxies. */
    String remoteAddress() {
        return origin().map(InetAddress::getHostAddress).orElse("unknown");
    }

    /** Whom to count it with: where it came from; of IPv6 the network. */
    public String network() {
        return origin().map(TrustedProxies::network).orElse("unknown");
    }

    private Optional<InetAddress> origin() {
        return request.getHeaders().contains("X-Forwarded-For")
                ? peer().map(peer -> settings.proxies().origin(peer, headers("X-Forwarded-For")))
                : peer();
    }

    private Optional<InetAddress> peer() {
        SocketAddress remote = request.getConnectionMetaData().getRemoteSocketAddress();
        return remote instanceof InetSocketAddress inet ? Optional.ofNullable(inet.getAddress()) : Optional.empty();
    }

    /** Whether it came by TLS, to this server itself or to a trusted proxy that says so. */
    public boolean isSecure() {
        return request.isSecure()
                || (peer().filter(settings.proxies()::contains).isPresent()
                        && header("X-Forwarded-Proto")
                                .map(schemes -> schemes.split(",", 2)[0].strip())
                                .filter(scheme -> scheme.equalsIgnoreCase("https"))
                                .isPresent());
    }

    /** The port that the request came to. */
    public int localPort() {
        return Request.getLocalPort(request);
    }

    /** Whether it came from this machine itself, and not through a proxy on it. */
    public boolean fromThisMachine() {
        return peer().filter(InetAddress::isLoopbackAddress).isPresent()
                && !request.getHeaders().contains("X-Forwarded-For")
                && !request.getHeaders().contains(HttpHeader.FORWARDED);
    }
}
