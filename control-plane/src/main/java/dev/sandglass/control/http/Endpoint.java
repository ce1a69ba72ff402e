package dev.sandglass.control.http;

/** Answers one kind of request, on a virtual thread, and may block. What it throws becomes an error answer. */
@FunctionalInterface
public interface Endpoint {
    Reply answer(HttpRequest request) throws Exception;
}
