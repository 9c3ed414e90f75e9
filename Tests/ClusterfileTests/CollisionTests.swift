import Clusterfile
import Report
import Testing

@Suite("Clusterfile: what is the cluster's or the system's already")
struct CollisionTests {
    private func found(_ specification: String) -> [String] {
        mistakes(file(specification)).map { String($0.dropFirst("Clusterfile:".count)) }
    }

    @Test(
        "ports of the cluster are not the registry's",
        arguments: [6443, 2379, 2380, 2381, 10248, 10249, 10250, 10251, 10252, 10256, 10257, 10259])
    func ports(port: Int) {
        let messages = found("registry: {localRegistry: {port: \(port)}}")
        #expect(messages.count == 1)
        #expect(messages.first?.hasPrefix("9:36: \(port) is a port of ") == true, "\(messages)")
        #expect(messages.first?.hasSuffix(", another one was expected") == true)
    }

    @Test("ports beside them are")
    func otherPorts() {
        for port in [443, 5000, 5001, 6442, 10255, 65535] {
            #expect(found("registry: {localRegistry: {port: \(port)}}") == [])
        }
        #expect(
            found("registry: {localRegistry: {port: 6443}}") == [
                "9:36: 6443 is a port of the API server, another one was expected"
            ])
    }

    @Test("the registry has no name of another; capital letters make none, and are kept")
    func domains() throws {
        #expect(
            found("registry: {localRegistry: {domain: APIServer.cluster.local}}") == [
                "9:38: APIServer.cluster.local is the API server's name, another one was expected"
            ])
        #expect(
            found("registry: {localRegistry: {domain: Localhost}}") == [
                "9:38: Localhost is every machine's name for itself, another one was expected"
            ])
        let text = "registry: {localRegistry: {domain: Hub.Example}}"
        #expect(try Cluster.parse(file(text)).cluster.registry.domain == "Hub.Example")
        #expect(
            found(text + "\nhostAliases: [{ip: 10.0.0.9, hostnames: [hub.example]}]") == [
                "10:44: hub.example is a name of the cluster's own, another one was expected"
            ])
    }

    @Test("aliases are none of the cluster's names, of the machine's or of each other's, whatever their letters")
    func aliases() throws {
        func alias(_ names: String) -> [String] { found("hostAliases: [{ip: 10.0.0.9, hostnames: [\(names)]}]") }
        #expect(alias("Sea.Hub") == ["9:44: Sea.Hub is a name of the cluster's own, another one was expected"])
        #expect(
            alias("apiserver.CLUSTER.local") == [
                "9:44: apiserver.CLUSTER.local is a name of the cluster's own, another one was expected"
            ])
        #expect(
            alias("localhost") == ["9:44: localhost is every machine's name for itself, another one was expected"])
        #expect(alias("a.b, A.b") == ["9:49: the name A.b stands twice, first in line 9"])
        #expect(alias("localhost.example, Harbor") == [])
        let names = try Cluster.parse(file("hostAliases: [{ip: 10.0.0.9, hostnames: [Harbor]}]")).cluster.hostAliases
        #expect(names.first?.names == ["Harbor"])
    }

    @Test(
        "folders of the system, of kubelet and of etcd take no rootfs",
        arguments: [
            ("/etc", "/etc"), ("/etc/kubernetes/pki/x", "/etc/kubernetes"), ("/var/lib/kubelet", "/var/lib/kubelet"),
            ("/var/lib/etcd/x", "/var/lib/etcd"), ("/usr/local/x", "/usr"), ("/bin", "/bin"), ("/proc/x", "/proc"),
            ("/sys/x", "/sys"), ("/dev/shm", "/dev"), ("/run/x", "/run"), ("/var/run/x", "/var/run"),
            ("/tmp", "/tmp"), ("/tmp/x", "/tmp"),
        ])
    func folders(path: String, folder: String) {
        #expect(
            found("dataRoot: \(path)") == [
                "9:13: \"\(path)\" is in \(folder), which others fill and clear: one as /var/lib/sealer/data was expected"
            ])
    }

    @Test("folders whose names only begin so do, the root does not")
    func otherFolders() {
        for path in ["/etcdata", "/tmpfs/x", "/var/lib/kubelets", "/srv/etc", "/var/lib/sealer/data", "/libx"] {
            #expect(found("dataRoot: \(path)") == [])
        }
        #expect(
            found("dataRoot: /") == [
                "9:13: \"/\" is not a folder's path, one as /var/lib/sealer/data was expected"
            ])
    }
}
