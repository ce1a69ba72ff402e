/**
 * Speaks the public API as any client would: REST calls, the exec WebSocket with re-attachment, and file transfers.
 * Knows nothing of commands, terminals or of the server's insides.
 */
@NullMarked
package dev.sandglass.cli.client;

import org.jspecify.annotations.NullMarked;
