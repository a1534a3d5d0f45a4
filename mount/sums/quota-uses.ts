export { type QuotaUse, quotaUses } from '../filesystem/quota-uses.js';
