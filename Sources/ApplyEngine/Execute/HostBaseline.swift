import FoundationEssentials
import Remote
import Report
import SystemPackage

/// What a host had before the first change, where Kubernetes and what belongs to it leave things: kept on the host, and compared
/// when all is taken off again.
enum HostBaseline {
    /// Where it is kept.
    static let path: FilePath = "/var/lib/sealer/baseline"

    /// Lists files, what is in those below `/etc`, units, mounts, network devices, routes, rules of the packet filter, settings of
    /// the kernel and users, a line each, sorted; and what is listed that older lists lack.
    private static let listing = #"""
        export LC_ALL=C
        devices() { ip -o link show | awk -F': ' '{ sub("@.*", "", $2); print "network device", $2 }'; }
        list() {
            echo 'listed IPv6'
            echo 'listed contents'
            find /etc /usr/bin /usr/sbin /usr/local /usr/libexec /opt -xdev -printf 'file %p\n' 2>/dev/null || true
            find /var/lib /root -xdev -mindepth 1 -maxdepth 1 -printf 'file %p\n' 2>/dev/null || true
            find /etc -xdev -type f -size -1024k -exec sha256sum {} + 2>/dev/null | sed -nE 's/^([0-9a-f]+)  /content \1 /p' || true
            systemctl list-unit-files --no-legend --plain 2>/dev/null | awk '$2 != "transient" { print "unit", $1 }' || true
            awk '$2 !~ "^/run/(user|credentials)/" { print "mount", $2 }' /proc/self/mounts
            devices
            ip route show | sed 's/ *$//;s/^/route /'
            { ip rule show; ip -6 rule show; } 2>/dev/null | sed 's/[[:space:]]*$//;s/^/routing rule /' || true
            iptables-save 2>/dev/null | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ [A-Z]+ ' | sed 's/ \[.*//;s/^/packet filter /' || true
            ip6tables-save 2>/dev/null | grep -E '^(-A|:)' | grep -vE '^:[A-Z]+ [A-Z]+ ' |
                sed 's/ \[.*//;s/^/packet filter of IPv6 /' || true
            ipset list -name 2>/dev/null | sed 's/^/address set /' || true
            cd /proc/sys
            for setting in net/ipv4/ip_forward net/ipv4/conf/*/forwarding net/ipv4/conf/all/accept_redirects \
                net/ipv4/conf/all/route_localnet net/ipv6/conf/*/forwarding net/ipv6/conf/default/disable_ipv6 \
                net/ipv6/conf/*/accept_ra net/bridge/bridge-nf-call-iptables net/bridge/bridge-nf-call-ip6tables \
                vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops; do
                [[ ! -e $setting ]] || echo "kernel setting /proc/sys/$setting $(<"$setting")"
            done
            cut -d: -f1 /etc/passwd | sed 's/^/user /'
        }
        list_sorted() {
            list | grep -vE '^file /var/lib/(sealer|systemd)$|^file /root/\.|^content [^ ]+ /etc/(resolv.conf|mtab|adjtime)$' |
                sort -u
        }

        """#

    /// Writes it down, unless that was done before, or takes too long: then nothing is compared later, which is told.
    static func record(on host: any Host) async throws {
        do {
            try await write(on: host)
        } catch let failure as Failure where failure.kind == .timeout {
            try await host.delete(path)
        }
    }

    private static func write(on host: any Host) async throws {
        try await host.check(
            .script(
                listing
                    + """
                    [[ -e \(path) ]] || {
                        mkdir -p \(path.removingLastComponent())
                        # It says what is in files that others may not read.
                        umask 077
                        list_sorted >\(path).new
                        mv \(path).new \(path)
                    }
                    """),
            purpose: "writing down what the host has", limit: .seconds(40))
    }

    /// Gives the kernel the settings back that it had, as far as they are listed and it still has them. What it does not take shows in
    /// the comparison; so does forwarding, which stays on when somebody else may need it since.
    static func restoreSettings(on host: any Host, step: Step) async throws {
        try await host.check(
            .script(settingsRestoration()), purpose: "giving the kernel its former settings", limit: .seconds(60),
            output: { step.note($0.text) })
    }

    /// A script that gives the kernel back what a list says.
    ///
    /// The kernel sets other settings when forwarding is switched, which are therefore set after it.
    static func settingsRestoration(from list: FilePath = path) -> String {
        listing
            + #"""
            [[ -e \#(list) ]] || exit 0
            keeps_forwarding=false
            if [[ -n "$(comm -13 <(grep '^network device ' \#(list) | sort -u) <(devices | sort -u))" ]] ||
                grep -rqsE '^[^#]*(forward|bridge-nf-call)[^#]*=[[:space:]]*1' /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d; then
                keeps_forwarding=true
            fi
            is_switch='/(ip_forward|all/forwarding) '
            restore() {
                while read -r setting value; do
                    [[ -e $setting && "$(<"$setting")" != "$value" ]] || continue
                    ! $keeps_forwarding || [[ $setting != *forward* && $setting != *bridge-nf-call* && $setting != *redirects ]] || continue
                    { echo "$value" >"$setting"; } 2>/dev/null || continue
                    echo "$setting is $value again"
                done
            }
            settings="$(sed -n 's/^kernel setting //p' \#(list))"
            { grep -E "$is_switch" <<<"$settings" || true; } | restore
            { grep -vE "$is_switch" <<<"$settings" || true; } | restore
            """#
    }

    /// A script that prints the lines of a list that are not there now, and those that are new behind a tab. A list of an earlier
    /// sealer says less, and is only compared for what is new in what it says.
    static func comparison(with list: FilePath = path) -> String {
        listing
            + #"""
            [[ -e \#(list) ]] || exit 3
            unknown='listed '
            gone=''
            grep -qx 'listed IPv6' \#(list) || unknown="$unknown|packet filter of IPv6"
            grep -qx 'listed contents' \#(list) || {
                unknown="$unknown|content |routing rule |address set |kernel setting "
                gone=';/^[^\t]/d'
            }
            # Not within the comparison, where nobody would see it fail.
            now="$(set -e; list_sorted)"
            comm -3 \#(list) - <<<"$now" | sed -E "/^\t?($unknown)/d$gone"
            """#
    }

    /// What is not as it was; nil when that cannot be told.
    static func changes(on host: any Host) async throws -> HostChanges? {
        do {
            let result = try await host.run(
                .script(comparison()), limit: .seconds(200), output: { _ in })
            guard result.status == 0 else { return nil }
            return HostChanges(comparison: result.outputText)
        } catch let failure as Failure where failure.kind == .timeout {
            return nil
        }
    }

    /// Changes for people; nil when there are none.
    static func words(_ changes: HostChanges?, on host: String) -> String? {
        guard let changes else {
            return "\(host): what it had before sealer came was not written down, so nothing was compared with it"
        }
        return changes.words.map { "\(host): \($0)" }
    }
}

/// How a host differs from what it was before sealer came: by somebody else's doing, or because something was left behind.
struct HostChanges: Hashable, Sendable {
    /// What was not there before.
    private(set) var new: [String] = []
    /// What was there before.
    private(set) var gone: [String] = []
    /// What is another than before.
    private(set) var changed: [String] = []

    /// The most of each that are told.
    private static let shown = 30

    /// Reads what `HostBaseline.comparison` prints.
    init(comparison: String) {
        var (before, now): ([String: String], [String: String]) = ([:], [:])
        for line in comparison.split(separator: "\n") {
            let isNew = line.hasPrefix("\t")
            let line = isNew ? line.dropFirst() : line
            if let value = Self.value(line) {
                if isNew { now[value.name] = value.value } else { before[value.name] = value.value }
            } else if isNew {
                new.append(String(line))
            } else {
                gone.append(String(line))
            }
        }
        // A file that came or went has a line of its own; a setting came or went with what it is of.
        changed = before.keys.filter { now[$0] != nil }.sorted()
    }

    /// Lines of what has a name and a value: `content DIGEST FILE` and `kernel setting FILE VALUE`.
    private static func value(_ line: Substring) -> (name: String, value: String)? {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        if words.count == 3, words[0] == "content" { return ("file \(words[2])", words[1]) }
        guard words.count == 3, line.hasPrefix("kernel setting ") else { return nil }
        let parts = words[2].split(separator: " ", maxSplits: 1).map(String.init)
        guard let setting = parts.first else { return nil }
        return ("kernel setting \(setting)", parts.count > 1 ? parts[1] : "")
    }

    /// For people; nil when nothing differs.
    var words: String? {
        let parts = [
            ("was not there before sealer came, and is there now", new), ("was there before and is not now", gone),
            ("is another than before", changed),
        ].filter { !$0.1.isEmpty }.map { text, things in
            let more = things.count > Self.shown ? ", and \(things.count - Self.shown) more" : ""
            return "\(text): \(things.prefix(Self.shown).joined(separator: ", "))\(more)"
        }
        return parts.isEmpty ? nil : parts.joined(separator: "; ")
    }
}
