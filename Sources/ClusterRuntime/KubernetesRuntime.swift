import FoundationEssentials
import Report

/// Installs Kubernetes on hosts that have a rootfs and a container runtime. kubeadm is the first; others fit beside it.
///
/// Each call may be repeated: what is done already does no harm.
public protocol KubernetesRuntime: Sendable {
    /// The certificates that a master needs besides the authorities, which it has already.
    func certificates(of master: ClusterNode, under authorities: ClusterAuthorities, years: Int) throws
        -> [CertificateFile]

    /// Makes the first master. What an interrupted attempt left must have been taken away before.
    func initialise(_ master: ClusterNode, isAlone: Bool, step: Step) async throws

    /// Makes a ticket that new members show, and waits until the cluster takes it.
    func makeTicket(through master: ClusterNode) async throws -> JoinTicket

    /// Makes a host a member of the cluster, a master or a worker by its role.
    func join(_ node: ClusterNode, through master: ClusterNode, ticket: JoinTicket, step: Step) async throws

    /// Takes the remains of an interrupted `initialise` or `join`, or a member's whole Kubernetes, off a host.
    func clean(_ node: ClusterNode, step: Step) async throws

    /// What the cluster says of its nodes; nil when the master has no way to ask.
    func nodes(through master: ClusterNode) async throws -> [NodeStatus]

    /// Sets labels and taints that the node should have.
    ///
    /// - Parameters:
    ///   - taints: `key=value:Effect`; `key:Effect-` takes one away that is there.
    ///   - withdrawn: keys of labels to take away.
    func label(
        _ node: String, labels: [String: String], taints: [String], withdrawn: [String], through master: ClusterNode
    ) async throws

    /// Whether a master's own API server answers, which it does with its etcd.
    func answers(_ master: ClusterNode) async throws -> Bool

    /// When a member's kubelet was started, in seconds since 1970 by its host's clock; nil when that is long ago, or nobody knows.
    func kubeletStart(of node: ClusterNode) async throws -> Int64?

    /// Waits until every node is a member and `Ready`, and has said so since its kubelet was started, and every master's own API
    /// server answers; when one does not become so, the failure says why.
    func waitUntilReady(
        _ nodes: [ClusterNode],
        through master: ClusterNode,
        limit: Duration,
        step: Step
    ) async throws

    /// Waits until every pod of the cluster runs and is ready, or has ended well; else the failure says which is not, and why.
    ///
    /// - Parameter silent: nodes whose hosts do not answer, whose pods are not waited for.
    func waitUntilPodsReady(
        exceptOn silent: Set<String>, through master: ClusterNode, limit: Duration, step: Step
    ) async throws

    /// Moves the pods of a node elsewhere, and keeps new ones away.
    func drain(_ node: String, _ policy: DrainPolicy, through master: ClusterNode, step: Step) async throws

    /// Lets pods come to a node again.
    func uncordon(_ node: String, through master: ClusterNode) async throws

    /// Takes a master out of etcd. Refuses when that would cost the cluster its quorum; none there is fine.
    ///
    /// - Parameter address: its address, where it is known: a member that has never started has no name.
    func removeEtcdMember(_ node: String, address: String?, through master: ClusterNode, step: Step) async throws

    /// Takes out of etcd what a host that is about to join as a master would find there in its place, and what an attempt of
    /// another one has left. Refuses as `removeEtcdMember`.
    func makeRoomInEtcd(for node: ClusterNode, through master: ClusterNode, step: Step) async throws

    /// Deletes a node's object; none there is fine.
    func removeNode(_ node: String, through master: ClusterNode) async throws

    /// Brings the cluster's own copies of its configuration into the wanted state, and what runs as pods of the cluster: for
    /// the control plane and kubelet it only says what they should be.
    ///
    /// - Parameter parts: what of the configuration is another one than before; empty when only the copies are concerned.
    func uploadConfiguration(_ parts: Set<ConfigurationChange.Part>, through master: ClusterNode, step: Step)
        async throws

    /// Brings a master's API server, controller manager and scheduler into the wanted state, and sees them run with it. When
    /// they do not, what they had before is brought back. One master at a time.
    ///
    /// - Parameter certificates: the master's certificates, made anew: they are taken where their names are other ones than
    ///   those of the certificate that is there.
    func reconfigureControlPlane(of master: ClusterNode, certificates: [CertificateFile], step: Step) async throws

    /// Brings a master's etcd into the wanted state, and sees it run with it. When it does not, what it had before is brought
    /// back. One master at a time.
    ///
    /// - Parameters:
    ///   - masters: all masters that are members, it among them. Those that an interrupted change left without an etcd that runs
    ///     get back what they had.
    ///   - through: a master whose API server answers: that of the master itself may not.
    /// - Throws: `Failure` of kind `conflict` when another member does not answer: the cluster could lose its quorum.
    func reconfigureEtcd(
        of master: ClusterNode, among masters: [ClusterNode], through: ClusterNode, step: Step
    ) async throws

    /// Whether a change of the master's control plane or etcd was interrupted, so that what it had before is still kept.
    func isCut(_ master: ClusterNode) async throws -> Bool

    /// Gives the control planes and etcd of masters back what they had before an interrupted change, and waits until their API
    /// servers answer.
    func bringBackFormerSettings(of masters: [ClusterNode], step: Step) async throws

    /// Brings a node's kubelet to the configuration that the cluster has (`uploadConfiguration`), and sees it run with it. When
    /// it does not, what it had before is brought back.
    func reconfigureKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws

    /// Starts a member's kubelet anew after its programs or units may have changed, and waits until it is well and the node
    /// `Ready`. Of a node that has no pod network only the first is wanted.
    ///
    /// - Throws: `Failure` with what kubelet's log says.
    func restartKubelet(of node: ClusterNode, through master: ClusterNode, step: Step) async throws

    /// The administrator's kubeconfig, with the master's address as the server's.
    func kubeconfig(of master: ClusterNode) async throws -> Data

    /// Reads what sealer keeps of the cluster in the cluster itself; nil when there is nothing.
    func record(through master: ClusterNode) async throws -> [String: String]?

    /// Writes what sealer keeps of the cluster in the cluster itself.
    func write(record: [String: String], through master: ClusterNode) async throws
}

/// What a node needs to join: secret as long as the token lives, so it has no description.
public struct JoinTicket: Sendable {
    let token: BootstrapToken
    let authorityHash: String
    let made: ContinuousClock.Instant

    package init(token: BootstrapToken, authorityHash: String, made: ContinuousClock.Instant) {
        self.token = token
        self.authorityHash = authorityHash
        self.made = made
    }

    /// How long a ticket is used. Its token lives longer, so that a join that begins late ends well.
    static let lifetime = Duration.seconds(3600)

    /// Whether it is too old to be given to anybody.
    public var isStale: Bool { ContinuousClock.now - made > Self.lifetime }
}
