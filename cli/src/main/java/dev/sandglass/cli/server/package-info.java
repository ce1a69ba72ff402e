/**
 * Runs the server side on this machine: control plane and host agent in one process or as two, the state directory
 * they share with the command line, and the first account.
 */
@NullMarked
package dev.sandglass.cli.server;

import org.jspecify.annotations.NullMarked;
