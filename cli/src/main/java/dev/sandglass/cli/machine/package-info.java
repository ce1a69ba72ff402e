/**
 * What this machine has and lacks for running a server: checks with remedies, and the installation of system packages.
 * Checks look and never change anything.
 */
@NullMarked
package dev.sandglass.cli.machine;

import org.jspecify.annotations.NullMarked;
