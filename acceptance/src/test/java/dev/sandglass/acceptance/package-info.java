/**
 * Tests of the whole system from outside: real servers started by the {@code sandglass} script, real PostgreSQL, real
 * VMs, seen through REST, WebSocket, the command line and what the kernel shows. Each installation has a home, a port
 * and kernel objects of its own; after every test nothing of it may be left that was not there before. Nothing here
 * knows a class of the product but the names of the agent's steps.
 */
@NullMarked
package dev.sandglass.acceptance;

import org.jspecify.annotations.NullMarked;
