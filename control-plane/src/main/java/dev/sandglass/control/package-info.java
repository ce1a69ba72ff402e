/**
 * The control plane: accounts, keys, sandboxes, commands and files over HTTP, kept in PostgreSQL, carried out by host
 * agents over gRPC. This package configures it, wires its features together and starts and stops the whole; it knows
 * every other package here and none of them knows it.
 */
@NullMarked
package dev.sandglass.control;

import org.jspecify.annotations.NullMarked;
