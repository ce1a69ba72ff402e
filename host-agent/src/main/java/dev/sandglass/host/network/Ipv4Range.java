package dev.sandglass.host.network;

import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The IPv4 addresses that share a prefix.
 *
 * @param base the first one
 * @param prefix length of the prefix in bits
 */
public record Ipv4Range(Inet4Address base, int prefix) {
    private static final Pattern TEXT =
            Pattern.compile("(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})(?:/(\\d{1,2}))?");

    public Ipv4Range {
        if (prefix < 0 || prefix > 32) {
            throw new IllegalArgumentException("not a prefix length: " + prefix);
        }
        if ((number(base) & (size(prefix) - 1)) != 0) {
            throw new IllegalArgumentException(
                    base.getHostAddress() + " is not the first address of a /" + prefix + " range");
        }
    }

    /** Reads {@code 10.11.0.0/16}. */
    public static Ipv4Range parse(String text) {
        Matcher fields = TEXT.matcher(text);
        if (!fields.matches() || fields.group(5) == null) {
            throw new IllegalArgumentException("not an IPv4 range like 10.11.0.0/16: " + text);
        }
        return new Ipv4Range(address(text, fields), Integer.parseInt(fields.group(5)));
    }

    /** Reads {@code 10.11.0.1}; never asks a name server. */
    public static Inet4Address parseAddress(String text) {
        Matcher fields = TEXT.matcher(text);
        if (!fields.matches() || fields.group(5) != null) {
            throw new IllegalArgumentException("not an IPv4 address: " + text);
        }
        return address(text, fields);
    }

    public long size() {
        return size(prefix);
    }

    /** The address {@code offset} behind the first. */
    public Inet4Address address(long offset) {
        if (offset < 0 || offset >= size()) {
            throw new IllegalArgumentException("no address " + offset + " in " + this);
        }
        return numbered(number(base) + offset);
    }

    public boolean contains(Inet4Address address) {
        long offset = number(address) - number(base);
        return offset >= 0 && offset < size();
    }

    public boolean overlaps(Ipv4Range other) {
        return contains(other.base) || other.contains(base);
    }

    @Override
    public String toString() {
        return base.getHostAddress() + "/" + prefix;
    }

    private static long size(int prefix) {
        return 1L << (32 - prefix);
    }

    private static long number(Inet4Address address) {
        return Integer.toUnsignedLong(ByteBuffer.wrap(address.getAddress()).getInt());
    }

    private static Inet4Address address(String text, Matcher fields) {
        long number = 0;
        for (int i = 1; i <= 4; i++) {
            int octet = Integer.parseInt(fields.group(i));
            if (octet > 255) {
                throw new IllegalArgumentException("not an IPv4 address: " + text);
            }
            number = number << 8 | octet;
        }
        return numbered(number);
    }

    private static Inet4Address numbered(long number) {
        try {
            return (Inet4Address) InetAddress.getByAddress(
                    ByteBuffer.allocate(4).putInt((int) number).array());
        } catch (UnknownHostException e) {
            throw new IllegalStateException("four bytes are an address", e);
        }
    }
}
