package dev.sandglass.control.oauth;

/** A provider did not say who somebody is. The message is for our log: it carries nothing that the provider sent. */
final class ProviderFailure extends RuntimeException {
    private static final long serialVersionUID = 1;

    ProviderFailure(String message) {
        super(message);
    }
}
