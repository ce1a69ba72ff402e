/**
 * Root disks: a writable layer per sandbox over layers that are shared and never change. Knows files and their formats;
 * not who writes to them, nor under which user.
 */
@NullMarked
package dev.sandglass.host.disk;

import org.jspecify.annotations.NullMarked;
